/* SPDX-License-Identifier: Apache-2.0 */
/* What keystored and the custodian tell the worker. A message that breaks the layout ends the worker. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
#include "guest_fault.h"
#include "worker.h"

void control_event(struct worker *worker, uint32_t type, const void *body, uint32_t body_bytes)
{
    struct vks_ipc_head head = {.type = type};
    struct vks_ipc_part part = {body, body_bytes};

    /* If keystored is gone the next receive says so. */
    (void)!vks_ipc_send(worker->control_fd, &head, &part, 1, NULL, 0);
}

static void reply(struct worker *worker, int error, const void *body, uint32_t body_bytes)
{
    (void)!vks_ipc_reply(worker->control_fd, &worker->message.head, error, body, body_bytes);
}

static void on_mem_table(struct worker *worker)
{
    const struct vks_worker_mem_table *table = vks_ipc_body(&worker->message);
    struct vks_guest_mem fresh = {0};
    int error = -EINVAL;

    if (table->region_count == worker->message.fd_count)
        error = vks_guest_mem_map(&fresh, table, worker->message.fds);
    lanes_rest(worker);
    /* Also after a failure: nothing of a table that the front-end has replaced may be touched any more. */
    vks_guest_mem_unmap(&worker->mem);
    worker->mem = fresh;
    guest_fault_forget();
    for (uint32_t i = 0; i < worker->lane_count; i++)
        ring_remap(&worker->lane[i]);
    reply(worker, error, NULL, 0);
}

/* The lane that a message is for, or NULL. */
static struct lane *lane_named(struct worker *worker, uint32_t queue)
{
    return queue < worker->lane_count ? &worker->lane[queue] : NULL;
}

static void on_ring_start(struct worker *worker)
{
    const struct vks_worker_ring_start *start = vks_ipc_body(&worker->message);
    struct lane *lane = lane_named(worker, start->queue);

    reply(worker, lane ? ring_start(lane, start, &worker->message) : -EINVAL, NULL, 0);
    if (lane)
        lanes_wake(lane);
}

static void on_ring_stop(struct worker *worker)
{
    const struct vks_worker_ring *named = vks_ipc_body(&worker->message);
    struct lane *lane = lane_named(worker, named->queue);
    struct vks_worker_ring_stopped stopped = {.queue = named->queue};

    if (!lane) {
        reply(worker, -EINVAL, NULL, 0);
        return;
    }
    lanes_rest(worker);
    ring_stop(lane);
    stopped.base = lane->ring.vring.last_avail;
    reply(worker, 0, &stopped, sizeof(stopped));
    lanes_wake(lane);
}

static void on_ring_fd(struct worker *worker)
{
    const struct vks_worker_ring *named = vks_ipc_body(&worker->message);
    struct lane *lane = lane_named(worker, named->queue);
    int fd = vks_ipc_take_fd(&worker->message, 0);
    struct ring *ring = lane ? &lane->ring : NULL;

    if (!ring || !ring->running) {
        if (fd >= 0)
            close(fd);
        reply(worker, ring ? -ENOTCONN : -EINVAL, NULL, 0);
        return;
    }
    if (worker->message.head.type == VKS_WORKER_RING_CALL) {
        ring_set_fd(&ring->call_fd, fd);
        /* What was signalled on the old one between its last reader and now would be lost. */
        ring_signal(ring);
    } else if (worker->message.head.type == VKS_WORKER_RING_KICK) {
        ring_set_fd(&ring->kick_fd, fd);
        lanes_wake(lane);
    } else {
        ring_set_fd(&ring->err_fd, fd);
    }
    reply(worker, 0, NULL, 0);
}

static bool slow_lane_uses_lost_key(const struct slow_lane *slow, const struct snapshot_table *table)
{
    for (int i = 0; i < SLOW_JOBS; i++) {
        const struct job *job = &slow->job[i];
        int64_t index;

        if (slow->state[i] == SLOW_FREE || !job->key)
            continue;
        index = snapshot_table_find(table, vks_key_id(job->key), vks_key_version(job->key));
        if (index < 0 || table->key[index] != job->key)
            return true;
    }
    return false;
}

/* A job that is still running with a key that is no longer in the table. */
static bool lost_key_in_use(const struct worker *worker)
{
    for (uint32_t i = 0; i < worker->lane_count; i++)
        if (slow_lane_uses_lost_key(&worker->lane[i].slow, worker->table))
            return true;
    return lanes_use_lost_key(worker);
}

void control_settle_snapshot(struct worker *worker)
{
    if (!worker->snapshot_waits || lost_key_in_use(worker))
        return;
    worker->snapshot_waits = false;
    (void)!vks_ipc_reply(worker->control_fd, &worker->snapshot_request, 0, NULL, 0);
}

/* Decided under the old snapshot and not begun: to be decided again, in the old order. */
static void park_queued(struct lane *lane)
{
    struct ring *ring = &lane->ring;
    struct job *job;

    while ((job = slow_lane_cancel(&lane->slow)) != NULL) {
        token_lane_release(job->token);
        if (!ring->running || job->ring_run != ring->run)
            continue;
        inflight_cancel_run(&ring->inflight, job->head);
        head_queue_push_front(&ring->parked[slow_lane_size(&lane->slow, job)], job->head);
    }
    while ((job = gather_waiting(&lane->gather)) != NULL) {
        head_queue_push(&ring->redo, job->head);
        serve_ungather(lane, job);
    }
}

/* What they waited for may have come: they are decided again, before anything new. */
static void redo(struct ring *ring, struct head_queue *waiting)
{
    while (waiting->count)
        head_queue_push(&ring->redo, head_queue_pop(waiting));
}

static void on_snapshot(struct worker *worker)
{
    const struct vks_worker_snapshot *snapshot = vks_ipc_body(&worker->message);
    struct snapshot_table *fresh, *old = worker->table;
    int error = -EINVAL;

    if (worker->snapshot_waits)
        error = -EBUSY;
    else if (!old || snapshot->generation > old->head.generation)
        error = snapshot_table_read(&fresh, worker->message.fds[0], snapshot->size_bytes, snapshot->generation);
    if (error) {
        reply(worker, error, NULL, 0);
        return;
    }
    for (uint32_t i = 0; i < worker->lane_count; i++) {
        park_queued(&worker->lane[i]);
        redo(&worker->lane[i].ring, &worker->lane[i].ring.unleased);
        redo(&worker->lane[i].ring, &worker->lane[i].ring.unkeyed);
    }
    key_loads_settle(&worker->loads, old, fresh);
    worker->table = fresh;
    if (lanes_run(worker))
        latency_forget_keys(&worker->lane[0].latency, fresh);
    snapshot_table_free(old);
    worker->snapshot_request = worker->message.head;
    worker->snapshot_waits = true;
    control_settle_snapshot(worker);
    lanes_wake_all(worker);
}

static void on_drained(struct worker *worker)
{
    /* The next look at the audit ring finds the room. */
    reply(worker, 0, NULL, 0);
    lanes_wake_all(worker);
}

static void on_token(struct worker *worker)
{
    token_lane_connect(&worker->token, vks_ipc_take_fd(&worker->message, 0));
    reply(worker, 0, NULL, 0);
}

static void on_ordered(struct worker *worker)
{
    reply(worker, order_lane_take(&worker->order, vks_ipc_body(&worker->message)), NULL, 0);
}

static void on_leased(struct worker *worker)
{
    for (uint32_t i = 0; i < worker->lane_count; i++)
        redo(&worker->lane[i].ring, &worker->lane[i].ring.unleased);
    reply(worker, 0, NULL, 0);
    lanes_wake_all(worker);
}

static void on_keys_filled(struct worker *worker)
{
    key_wants_settle(&worker->wants, worker->table, monotonic_ns());
    for (uint32_t i = 0; i < worker->lane_count; i++)
        redo(&worker->lane[i].ring, &worker->lane[i].ring.unkeyed);
    reply(worker, 0, NULL, 0);
    lanes_wake_all(worker);
}

static const struct {
    uint32_t type;
    void (*handle)(struct worker *worker);
} handlers[] = {
    {VKS_WORKER_MEM_TABLE, on_mem_table}, {VKS_WORKER_RING_START, on_ring_start},
    {VKS_WORKER_RING_STOP, on_ring_stop}, {VKS_WORKER_RING_CALL, on_ring_fd},
    {VKS_WORKER_RING_KICK, on_ring_fd},   {VKS_WORKER_RING_ERR, on_ring_fd},
    {VKS_WORKER_SNAPSHOT, on_snapshot},   {VKS_WORKER_DRAINED, on_drained},
    {VKS_WORKER_LEASED, on_leased},       {VKS_WORKER_TOKEN, on_token},
    {VKS_WORKER_ORDERED, on_ordered},     {VKS_WORKER_KEYS_FILLED, on_keys_filled},
};

bool control_receive(struct worker *worker)
{
    int got = vks_ipc_receive(worker->control_fd, &worker->message, VKS_IPC_NOWAIT);
    bool known = false;

    if (got == -EAGAIN)
        return true;
    if (got != 1)
        return false;
    audit_run_close_all(&worker->audit);
    for (size_t i = 0; !known && i < sizeof(handlers) / sizeof(handlers[0]); i++) {
        known = handlers[i].type == worker->message.head.type;
        if (known)
            handlers[i].handle(worker);
    }
    vks_ipc_close_fds(&worker->message);
    return known;
}

bool control_receive_keys(struct worker *worker)
{
    const struct vks_keys *keys = vks_ipc_body(&worker->message);
    struct vks_worker_keys_loaded loaded = {0};
    int got = vks_ipc_receive(worker->key_fd, &worker->message, VKS_IPC_NOWAIT);

    if (got == -EAGAIN)
        return true;
    if (got != 1)
        return false;
    if (worker->message.head.type == VKS_KEYS) {
        loaded.load_id = keys->load_id;
        loaded.key_count = keys->key_count;
        if (keys->flags & VKS_LOAD_F_FILL)
            loaded.error = key_loads_fill(keys, worker->message.fds[0], &worker->room, worker->table);
        else
            loaded.error = key_loads_add(&worker->loads, keys, worker->message.fds[0], &worker->room, worker->table);
        control_event(worker, VKS_WORKER_KEYS_LOADED, &loaded, sizeof(loaded));
    }
    vks_ipc_close_fds(&worker->message);
    return worker->message.head.type == VKS_KEYS;
}
