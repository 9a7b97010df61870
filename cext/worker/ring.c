/* SPDX-License-Identifier: Apache-2.0 */
/* The life of the virtqueue between its start and its stop, and the three descriptors that go with it. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#include "budget.h"
#include "clock.h"
#include "kill_point.h"
#include "worker.h"

enum {
    /* A stop is answered within 10 ms (GET_VRING_BASE freezes QEMU). What runs longer is redone at the next start. */
    STOP_WAIT_MS = 4,
    RING_F_PACKED = 34,
};

static void write_one(int fd)
{
    uint64_t one = 1;

    /* Full or gone: the other side has been told, or cannot be. */
    while (fd >= 0 && write(fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void ring_signal(const struct ring *ring)
{
    write_one(ring->call_fd);
}

void ring_set_fd(int *place, int fd)
{
    int flags;

    if (*place >= 0)
        close(*place);
    *place = fd;
    /* The front-end shares the descriptor and may read from it: our own read or write must never wait for it. */
    flags = fd >= 0 ? fcntl(fd, F_GETFL) : -1;
    if (flags >= 0 && !(flags & O_NONBLOCK))
        (void)fcntl(fd, F_SETFL, flags | O_NONBLOCK);
}

static int take_fds(struct ring *ring, const struct vks_worker_ring_start *start, struct vks_ipc_message *message)
{
    uint32_t count = 1 + !!(start->flags & VKS_RING_F_CALL) + !!(start->flags & VKS_RING_F_ERR);
    uint32_t next = 0;

    if ((start->flags & ~(uint32_t)(VKS_RING_F_CALL | VKS_RING_F_ERR)) || message->fd_count != count)
        return -EINVAL;
    ring_set_fd(&ring->kick_fd, vks_ipc_take_fd(message, next++));
    ring_set_fd(&ring->call_fd, start->flags & VKS_RING_F_CALL ? vks_ipc_take_fd(message, next++) : -1);
    ring_set_fd(&ring->err_fd, start->flags & VKS_RING_F_ERR ? vks_ipc_take_fd(message, next++) : -1);
    return 0;
}

static void forget_waiting(struct ring *ring)
{
    ring->parked[SLOW_SMALL].count = ring->parked[SLOW_LARGE].count = 0;
    ring->untokened.count = ring->unordered.count = ring->unkeyed.count = ring->unleased.count = 0;
}

int ring_start(struct lane *lane, const struct vks_worker_ring_start *start, struct vks_ipc_message *message)
{
    struct ring *ring = &lane->ring;
    struct vks_vring_address address = {start->desc_uva, start->avail_uva, start->used_uva};
    struct inflight_start from = {start->start_id, (uint16_t)start->base};
    int error;

    if (start->base > UINT16_MAX)
        return -EINVAL;
    if (ring->running)
        return -EBUSY;
    if ((start->features >> RING_F_PACKED) & 1)
        return -ENOTSUP;
    error = vks_vring_map(&ring->vring, &lane->worker->mem, start->size, &address);
    if (!error)
        error = take_fds(ring, start, message);
    if (error)
        return error;
    audit_run_take_over(&lane->worker->audit);
    forget_waiting(ring);
    ring->run++;
    ring->running = true;
    vks_budget_recover(ring->inflight.state);
    if (lane->worker->table)
        latency_forget_keys(&lane->latency, lane->worker->table);
    if (!inflight_start(&ring->inflight, &ring->vring, &from, &ring->redo))
        return 0;
    latency_resume(&lane->latency, ring->inflight.slot, &ring->redo, realtime_ns());
    KILL_POINT(KILL_RESUMED);
    /* The dead worker before us may have answered without a signal. */
    ring_signal(ring);
    return 0;
}

static void let_go(struct lane *lane)
{
    struct ring *ring = &lane->ring;
    struct job *job;

    ring->running = false;
    ring->run++;
    ring->redo.count = 0;
    while ((job = gather_waiting(&lane->gather)) != NULL)
        serve_ungather(lane, job);
    forget_waiting(ring);
    ring_set_fd(&ring->kick_fd, -1);
}

static void cancel_queued(struct lane *lane)
{
    struct job *job;

    while ((job = slow_lane_cancel(&lane->slow)) != NULL) {
        token_lane_release(job->token);
        if (lane->ring.running && job->ring_run == lane->ring.run)
            inflight_cancel_run(&lane->ring.inflight, job->head);
    }
}

static int64_t monotonic_ms(void)
{
    return (int64_t)(monotonic_ns() / 1000000);
}

static void finish_running(struct lane *lane)
{
    struct pollfd done = {.fd = lane->slow.done_fd, .events = POLLIN};
    int64_t deadline_ms = monotonic_ms() + STOP_WAIT_MS, left_ms;

    while (slow_lane_count(&lane->slow, SLOW_RUNNING) && (left_ms = deadline_ms - monotonic_ms()) > 0)
        if (poll(&done, 1, (int)left_ms) > 0)
            slow_lane_acknowledge(&lane->slow);
    serve_done_jobs(lane);
}

void ring_stop(struct lane *lane)
{
    struct ring *ring = &lane->ring;

    if (!ring->running)
        return;
    cancel_queued(lane);
    finish_running(lane);
    if (vks_vring_needs_signal(&ring->vring))
        ring_signal(ring);
    let_go(lane);
    ring_set_fd(&ring->call_fd, -1);
    ring_set_fd(&ring->err_fd, -1);
}

void ring_break(struct lane *lane, int error)
{
    struct vks_worker_ring_broken body = {.queue = lane->index, .error = error};

    cancel_queued(lane);
    let_go(lane);
    write_one(lane->ring.err_fd);
    control_event(lane->worker, VKS_WORKER_RING_BROKEN, &body, sizeof(body));
}

/* A range that went away takes its answer with it: the used element says so with length 0. */
static void resolve(const struct lane *lane, struct vks_desc_chain *chain)
{
    if (vks_desc_chain_resolve(chain, &lane->worker->mem))
        chain->status = NULL;
}

void ring_remap(struct lane *lane)
{
    struct worker *worker = lane->worker;
    struct ring *ring = &lane->ring;
    int error;

    if (!ring->running)
        return;
    error = vks_vring_map(&ring->vring, &worker->mem, ring->vring.size, &ring->vring.address);
    if (error) {
        ring_break(lane, error);
        return;
    }
    resolve(lane, &lane->fast.chain);
    for (int i = 0; i < GATHER_JOBS; i++)
        resolve(lane, &lane->gather.job[i].chain);
    for (int i = 0; i < SLOW_JOBS; i++)
        resolve(lane, &lane->slow.job[i].chain);
    for (int i = 0; i < VKS_HSM_WINDOW; i++)
        if (worker->token.slot[i].job.queue == lane->index)
            resolve(lane, &worker->token.slot[i].job.chain);
    if (worker->order.job.queue == lane->index)
        resolve(lane, &worker->order.job.chain);
}
