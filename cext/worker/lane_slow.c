/* SPDX-License-Identifier: Apache-2.0 */
/* Handing jobs to the second thread and back. A state word is the only thing both threads write. */
#include "lane_slow.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "registers.h"

/* Tickets wrap: compare by distance. */
static bool is_newer(const struct slow_lane *lane, int left, int right)
{
    return (int32_t)(lane->ticket[left] - lane->ticket[right]) > 0;
}

/* The job in *state* with the lowest or highest ticket, of *batch_class* where that is not 0; -1 for none. */
static int pick(const struct slow_lane *lane, int state, bool newest, uint32_t batch_class)
{
    int found = -1;

    for (int i = 0; i < SLOW_JOBS; i++) {
        if (atomic_load_explicit(&lane->state[i], memory_order_acquire) != state ||
            (batch_class && lane->batch_class[i] != batch_class))
            continue;
        if (found < 0 || is_newer(lane, i, found) == newest)
            found = i;
    }
    return found;
}

static bool change_state(struct slow_lane *lane, int index, int from, int to)
{
    return atomic_compare_exchange_strong(&lane->state[index], &from, to);
}

static void wake(int fd)
{
    uint64_t one = 1;

    while (write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

/* The job of the class that waits longest, now RUNNING; -1: none. */
static int take_of_class(struct slow_lane *lane, uint32_t batch_class)
{
    int index;

    while ((index = pick(lane, SLOW_QUEUED, false, batch_class)) >= 0) {
        if (!change_state(lane, index, SLOW_QUEUED, SLOW_RUNNING))
            continue;
        if (lane->job[index].batch_class == batch_class)
            return index;
        /* Cancelled between the two looks, and another one submitted in its place. */
        atomic_store_explicit(&lane->state[index], SLOW_QUEUED, memory_order_release);
    }
    return -1;
}

/* The job that waits longest, and what may run with it: into *group*, RUNNING; how many. */
static uint32_t take_group(struct slow_lane *lane, struct job *group[VKS_BATCH_LANES])
{
    uint32_t count = 0, batch_class;
    int index;

    do {
        index = pick(lane, SLOW_QUEUED, false, 0);
        if (index < 0)
            return 0;
    } while (!change_state(lane, index, SLOW_QUEUED, SLOW_RUNNING));
    batch_class = lane->job[index].batch_class;
    do
        group[count++] = &lane->job[index];
    while (batch_class && count < VKS_BATCH_LANES && (index = take_of_class(lane, batch_class)) >= 0);
    return count;
}

static void run_queued(struct slow_lane *lane)
{
    struct job *group[VKS_BATCH_LANES];
    uint32_t count;

    while ((count = take_group(lane, group)) > 0) {
        if (group[0]->batch_class)
            job_run_batch(group, count, lane->lane);
        else
            job_run(group[0], lane->lane);
        for (uint32_t i = 0; i < count; i++)
            atomic_store_explicit(&lane->state[group[i] - lane->job], SLOW_DONE, memory_order_release);
        wake(lane->done_fd);
    }
}

static void slow_main(void *argument)
{
    struct slow_lane *lane = argument;
    uint64_t count;

    wake(lane->done_fd);
    for (;;) {
        run_queued(lane);
        vks_registers_wipe();
        if (read(lane->wake_fd, &count, sizeof(count)) < 0 && errno != EINTR)
            _exit(1);
    }
}

int slow_lane_start(struct slow_lane *lane, enum vks_lane as)
{
    struct pollfd started = {.events = POLLIN};
    int error;

    lane->lane = as;
    lane->wake_fd = eventfd(0, EFD_CLOEXEC);
    lane->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lane->wake_fd < 0 || lane->done_fd < 0)
        return -errno;
    error = vks_secret_thread_start(&lane->thread, slow_main, lane);
    started.fd = lane->done_fd;
    /* A thread that begins makes system calls which the worker's filter does not have. */
    while (!error && poll(&started, 1, -1) < 0 && errno == EINTR)
        ;
    if (!error)
        slow_lane_acknowledge(lane);
    return error;
}

static struct job *prepared(struct job *job, enum slow_size size)
{
    if (size == SLOW_LARGE)
        job_prepare(job, VKS_DESCRIPTORS_MAX, JOB_SLOW_BYTES);
    else
        job_prepare(job, JOB_FEW_SEGMENTS, JOB_SMALL_BYTES);
    return job;
}

struct job *slow_lane_free_job(struct slow_lane *lane, enum slow_size size)
{
    int first = size == SLOW_LARGE ? 0 : SLOW_LARGE_JOBS, end = size == SLOW_LARGE ? SLOW_LARGE_JOBS : SLOW_JOBS;

    for (int i = first; i < end; i++)
        if (atomic_load_explicit(&lane->state[i], memory_order_acquire) == SLOW_FREE)
            return prepared(&lane->job[i], size);
    return NULL;
}

enum slow_size slow_lane_size(const struct slow_lane *lane, const struct job *job)
{
    return job - lane->job < SLOW_LARGE_JOBS ? SLOW_LARGE : SLOW_SMALL;
}

void slow_lane_submit(struct slow_lane *lane, struct job *job)
{
    int index = (int)(job - lane->job);

    if (job->key)
        vks_key_ref(job->key);
    lane->ticket[index] = lane->next_ticket++;
    lane->batch_class[index] = job->batch_class;
    lane->submitted++;
    atomic_store_explicit(&lane->state[index], SLOW_QUEUED, memory_order_release);
    wake(lane->wake_fd);
}

struct job *slow_lane_cancel(struct slow_lane *lane)
{
    int index;

    while ((index = pick(lane, SLOW_QUEUED, true, 0)) >= 0) {
        struct job *job = &lane->job[index];

        if (!change_state(lane, index, SLOW_QUEUED, SLOW_FREE))
            continue;
        explicit_bzero(job->input, request_payload_bytes(&job->request));
        if (job->key)
            vks_key_unref(job->key);
        job->key = NULL;
        lane->submitted--;
        return job;
    }
    return NULL;
}

struct job *slow_lane_done(struct slow_lane *lane)
{
    int index;

    if (!lane->submitted)
        return NULL;
    index = pick(lane, SLOW_DONE, false, 0);
    for (int i = 0; i < SLOW_JOBS; i++) {
        if (atomic_load_explicit(&lane->state[i], memory_order_acquire) != SLOW_DONE || !lane->job[i].key)
            continue;
        vks_key_unref(lane->job[i].key);
        lane->job[i].key = NULL;
    }
    return index < 0 ? NULL : &lane->job[index];
}

void slow_lane_release(struct slow_lane *lane, struct job *job)
{
    job_wipe_output(job);
    lane->submitted--;
    atomic_store_explicit(&lane->state[job - lane->job], SLOW_FREE, memory_order_release);
}

uint32_t slow_lane_count(const struct slow_lane *lane, enum slow_state state)
{
    uint32_t count = 0;

    for (int i = 0; i < SLOW_JOBS && lane->submitted; i++)
        count += atomic_load_explicit(&lane->state[i], memory_order_acquire) == (int)state;
    return count;
}

void slow_lane_acknowledge(const struct slow_lane *lane)
{
    uint64_t count;

    while (read(lane->done_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}
