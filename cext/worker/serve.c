/* SPDX-License-Identifier: Apache-2.0 */
/* Which request is next, and how many in one go. */
#include <errno.h>

#include "clock.h"
#include "guest_fault.h"
#include "worker.h"

enum {
    /* Between two looks at the control socket: so many requests, or, where they take longer, so much time. */
    BATCH = 64,
    BATCH_NS = 1000000,
    /* Answers wait no longer to be told of, where the driver sleeps: it asks for more meanwhile. */
    SIGNAL_NS = 50000,
};

/* 1: *head* is the one to serve next, marked in flight; 0: there is none; -EPROTO: the ring is broken. */
static int next_head(struct lane *lane, uint16_t *head)
{
    struct ring *ring = &lane->ring;
    int found;

    for (enum slow_size size = SLOW_SMALL; size < SLOW_SIZES; size++)
        if (ring->parked[size].count && slow_lane_free_job(&lane->slow, size)) {
            *head = head_queue_pop(&ring->parked[size]);
            return 1;
        }
    if (ring->untokened.count && token_lane_has(&lane->worker->token, TOKEN_FREE)) {
        *head = head_queue_pop(&ring->untokened);
        return 1;
    }
    if (ring->unordered.count && lane->worker->order.state == ORDER_FREE) {
        *head = head_queue_pop(&ring->unordered);
        return 1;
    }
    if (ring->redo.count) {
        *head = head_queue_pop(&ring->redo);
        return 1;
    }
    found = vks_vring_available(&ring->vring);
    if (found <= 0)
        return found;
    found = vks_vring_peek(&ring->vring);
    if (found < 0)
        return found;
    *head = (uint16_t)found;
    /* A driver that offers a head again before it was used has lost track of its own ring. */
    if (inflight_is_taken(&ring->inflight, *head))
        return -EPROTO;
    latency_taken(&lane->latency, &ring->inflight.slot[*head], *head, lane->now_ns);
    inflight_take(&ring->inflight, *head);
    ring->vring.last_avail++;
    return 1;
}

static void signal_if_due(struct lane *lane)
{
    if (lane->now_ns - lane->signalled_ns < SIGNAL_NS)
        return;
    lane->signalled_ns = lane->now_ns;
    if (vks_vring_needs_signal(&lane->ring.vring))
        ring_signal(&lane->ring);
}

/* Up to BATCH requests. 1: there may be more; 0: there are none; -ENOSPC: no room for records; -EPROTO: as above. */
static int take_batch(struct lane *lane)
{
    uint64_t start_ns = lane->signalled_ns = lane->now_ns = realtime_ns();

    /*
     * The clock may be set: an unsigned distance ends the batch then, which is all right. The ring may be stopped while
     * it computes.
     */
    for (int i = 0; i < BATCH && lane->ring.running && lane->now_ns - start_ns < BATCH_NS && !guest_fault_seen(); i++) {
        uint16_t head;
        int found;

        if (!serve_has_room(lane->worker))
            return -ENOSPC;
        found = next_head(lane, &head);
        if (found <= 0)
            return found;
        serve_head(lane, head);
        signal_if_due(lane);
    }
    return 1;
}

static enum serve_result serve_batch(struct lane *lane)
{
    const struct vks_worker_keys_wanted *wanted;
    uint32_t run = lane->ring.run;
    int left;

    (void)key_room_keep(&lane->worker->room, lane->worker->table);
    left = take_batch(lane);

    serve_gathered(lane, 0);
    wanted = key_wants_take(&lane->worker->wants);
    if (wanted)
        control_event(lane->worker, VKS_WORKER_KEYS_WANTED, wanted, sizeof(*wanted));
    if (left == -ENOSPC)
        return SERVE_BLOCKED;
    /* While a group was computed it may have been stopped, and another one started in its place. */
    if (left < 0 && lane->ring.running && lane->ring.run == run)
        ring_break(lane, left);
    return left > 0 ? SERVE_MORE : SERVE_IDLE;
}

enum serve_result serve(struct lane *lane)
{
    enum serve_result result = SERVE_IDLE;

    serve_done_jobs(lane);
    if (lane->ring.running)
        result = serve_batch(lane);
    if (lane->ring.running && guest_fault_seen())
        ring_break(lane, -EFAULT);
    if (lane->ring.running && vks_vring_needs_signal(&lane->ring.vring))
        ring_signal(&lane->ring);
    if (serve_has_done(lane) && !serve_has_room(lane->worker))
        result = SERVE_BLOCKED;
    return lane->ring.running || result == SERVE_BLOCKED ? result : SERVE_IDLE;
}
