/* SPDX-License-Identifier: Apache-2.0 */
/* What keystored and the custodian tell the worker. A message that breaks the layout ends the worker. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "clock.h"
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
    /* Also after a failure: nothing of a table that the front-end has replaced may be touched any more. */
    vks_guest_mem_unmap(&worker->mem);
    worker->mem = fresh;
    ring_remap(worker);
    reply(worker, error, NULL, 0);
}

static void on_ring_start(struct worker *worker)
{
    reply(worker, ring_start(worker, vks_ipc_body(&worker->message), &worker->message), NULL, 0);
}

static bool names_the_ring(const struct worker *worker)
{
    const struct vks_worker_ring *named = vks_ipc_body(&worker->message);

    return named->queue == 0;
}

static void on_ring_stop(struct worker *worker)
{
    struct vks_worker_ring_stopped stopped = {0};

    if (!names_the_ring(worker)) {
        reply(worker, -EINVAL, NULL, 0);
        return;
    }
    ring_stop(worker);
    stopped.base = worker->ring.vring.last_avail;
    reply(worker, 0, &stopped, sizeof(stopped));
}

static void on_ring_fd(struct worker *worker)
{
    struct ring *ring = &worker->ring;
    int fd = vks_ipc_take_fd(&worker->message, 0);

    if (!names_the_ring(worker) || !ring->running) {
        if (fd >= 0)
            close(fd);
        reply(worker, ring->running ? -EINVAL : -ENOTCONN, NULL, 0);
        return;
    }
    if (worker->message.head.type == VKS_WORKER_RING_CALL) {
        ring_set_fd(&ring->call_fd, fd);
        /* What was signalled on the old one between its last reader and now would be lost. */
        ring_signal(ring);
    } else if (worker->message.head.type == VKS_WORKER_RING_KICK) {
        ring_set_fd(&ring->kick_fd, fd);
    } else {
        ring_set_fd(&ring->err_fd, fd);
    }
    reply(worker, 0, NULL, 0);
}

/* A job that is still running with a key that is no longer in the table. */
static bool lost_key_in_use(const struct worker *worker)
{
    for (int i = 0; i < SLOW_JOBS; i++) {
        const struct job *job = &worker->slow.job[i];
        int64_t index;

        if (worker->slow.state[i] == SLOW_FREE || !job->key)
            continue;
        index = snapshot_table_find(worker->table, vks_key_id(job->key), vks_key_version(job->key));
        if (index < 0 || worker->table->key[index] != job->key)
            return true;
    }
    return false;
}

void control_settle_snapshot(struct worker *worker)
{
    if (!worker->snapshot_waits || lost_key_in_use(worker))
        return;
    worker->snapshot_waits = false;
    (void)!vks_ipc_reply(worker->control_fd, &worker->snapshot_request, 0, NULL, 0);
}

/* Decided under the old snapshot and not begun: to be decided again, in the old order. */
static void park_queued(struct worker *worker)
{
    struct ring *ring = &worker->ring;
    struct job *job;

    while ((job = slow_lane_cancel(&worker->slow)) != NULL) {
        token_lane_release(job->token);
        if (!ring->running || job->ring_run != ring->run)
            continue;
        inflight_cancel_run(&ring->inflight, job->head);
        head_queue_push_front(&ring->parked[slow_lane_size(&worker->slow, job)], job->head);
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
    park_queued(worker);
    redo(&worker->ring, &worker->ring.unleased);
    redo(&worker->ring, &worker->ring.unkeyed);
    key_loads_settle(&worker->loads, old, fresh);
    worker->table = fresh;
    if (worker->ring.running)
        latency_forget_keys(&worker->latency, fresh);
    snapshot_table_free(old);
    worker->snapshot_request = worker->message.head;
    worker->snapshot_waits = true;
    control_settle_snapshot(worker);
}

static void on_drained(struct worker *worker)
{
    /* The next look at the audit ring finds the room. */
    reply(worker, 0, NULL, 0);
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
    redo(&worker->ring, &worker->ring.unleased);
    reply(worker, 0, NULL, 0);
}

static void on_keys_filled(struct worker *worker)
{
    key_wants_settle(&worker->wants, worker->table, monotonic_ns());
    redo(&worker->ring, &worker->ring.unkeyed);
    reply(worker, 0, NULL, 0);
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
    audit_run_close(&worker->audit);
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
