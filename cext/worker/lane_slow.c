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

/* The job in *state* with the lowest or highest ticket, -1 for none. Tickets wrap: compare by distance. */
static int pick(const struct slow_lane *lane, int state, bool newest)
{
    int found = -1;

    for (int i = 0; i < SLOW_JOBS; i++) {
        if (atomic_load_explicit(&lane->state[i], memory_order_acquire) != state)
            continue;
        if (found < 0 || ((int32_t)(lane->ticket[i] - lane->ticket[found]) > 0) == newest)
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

static void run_queued(struct slow_lane *lane)
{
    int index;

    while ((index = pick(lane, SLOW_QUEUED, false)) >= 0) {
        if (!change_state(lane, index, SLOW_QUEUED, SLOW_RUNNING))
            continue;
        job_run(&lane->job[index], VKS_LANE_SLOW);
        atomic_store_explicit(&lane->state[index], SLOW_DONE, memory_order_release);
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

int slow_lane_start(struct slow_lane *lane)
{
    struct pollfd started = {.events = POLLIN};
    int error;

    lane->wake_fd = eventfd(0, EFD_CLOEXEC);
    lane->done_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lane->wake_fd < 0 || lane->done_fd < 0)
        return -errno;
    for (int i = 0; i < SLOW_JOBS; i++) {
        error = job_open(&lane->job[i], JOB_SLOW_INPUT_BYTES, JOB_SLOW_OUTPUT_BYTES);
        if (error)
            return error;
    }
    error = vks_secret_thread_start(&lane->thread, slow_main, lane);
    started.fd = lane->done_fd;
    /* A thread that begins makes system calls which the worker's filter does not have. */
    while (!error && poll(&started, 1, -1) < 0 && errno == EINTR)
        ;
    if (!error)
        slow_lane_acknowledge(lane);
    return error;
}

struct job *slow_lane_free_job(struct slow_lane *lane)
{
    int index = pick(lane, SLOW_FREE, false);

    return index < 0 ? NULL : &lane->job[index];
}

void slow_lane_submit(struct slow_lane *lane, struct job *job)
{
    int index = (int)(job - lane->job);

    if (job->key)
        vks_key_ref(job->key);
    lane->ticket[index] = lane->next_ticket++;
    atomic_store_explicit(&lane->state[index], SLOW_QUEUED, memory_order_release);
    wake(lane->wake_fd);
}

struct job *slow_lane_cancel(struct slow_lane *lane)
{
    int index;

    while ((index = pick(lane, SLOW_QUEUED, true)) >= 0) {
        struct job *job = &lane->job[index];

        if (!change_state(lane, index, SLOW_QUEUED, SLOW_FREE))
            continue;
        explicit_bzero(job->input, request_payload_bytes(&job->request));
        if (job->key)
            vks_key_unref(job->key);
        job->key = NULL;
        return job;
    }
    return NULL;
}

struct job *slow_lane_done(struct slow_lane *lane)
{
    int index = pick(lane, SLOW_DONE, false);

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
    atomic_store_explicit(&lane->state[job - lane->job], SLOW_FREE, memory_order_release);
}

uint32_t slow_lane_count(const struct slow_lane *lane, enum slow_state state)
{
    uint32_t count = 0;

    for (int i = 0; i < SLOW_JOBS; i++)
        count += atomic_load_explicit(&lane->state[i], memory_order_acquire) == (int)state;
    return count;
}

void slow_lane_acknowledge(const struct slow_lane *lane)
{
    uint64_t count;

    while (read(lane->done_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}
