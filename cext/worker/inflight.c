/* SPDX-License-Identifier: Apache-2.0 */
/* What a successor needs to know, written in the order in which it can be trusted after a SIGKILL at any instant. */
#include "inflight.h"

#include <stddef.h>
#include <string.h>

void inflight_open(struct inflight *inflight, void *state, uint32_t queue)
{
    inflight->state = state;
    inflight->queue = vks_state_queue(state, queue);
    inflight->slot = vks_state_slots(state, queue);
}

/* Insertion into a short, nearly ordered list; the queue is empty before. */
static void redo_insert(struct head_queue *redo, const struct vks_state_slot *slot, uint16_t head)
{
    uint32_t place = redo->count++;

    while (place && slot[redo->head[place - 1]].counter > slot[head].counter) {
        redo->head[place] = redo->head[place - 1];
        place--;
    }
    redo->head[place] = head;
}

static void redo_collect(const struct inflight *inflight, struct head_queue *redo)
{
    redo->first = redo->count = 0;
    for (uint32_t head = 0; head < inflight->queue->desc_num && head < VKS_STATE_QUEUE_SIZE_MAX; head++)
        if (inflight->slot[head].inflight)
            redo_insert(redo, inflight->slot, (uint16_t)head);
}

bool inflight_start(struct inflight *inflight, struct vks_vring *ring, uint16_t base, struct head_queue *redo)
{
    struct vks_state_queue *queue = inflight->queue;
    uint16_t in_memory = vks_vring_used_in_memory(ring);
    uint16_t next_avail;
    bool resumes;

    redo_collect(inflight, redo);
    next_avail = (uint16_t)(queue->used_idx + redo->count);
    /* Base 0 is also that of a ring that was reset: there, only used.idx in memory tells that it goes on. */
    resumes = queue->desc_num == ring->size && (base || (redo->count && (uint16_t)(in_memory - queue->used_idx) <= 1));
    /* The last answer was published but not written down. */
    if (resumes && in_memory == (uint16_t)(queue->used_idx + 1) && queue->last_batch_head < ring->size) {
        inflight->slot[queue->last_batch_head].inflight = 0;
        queue->used_idx = in_memory;
        redo_collect(inflight, redo);
    }
    /* Whoever computed base from the table before this repair may be one behind. */
    resumes = resumes && (base == next_avail || base == (uint16_t)(queue->used_idx + redo->count));
    if (!resumes) {
        memset(inflight->slot, 0, VKS_STATE_QUEUE_SIZE_MAX * sizeof(*inflight->slot));
        redo->count = 0;
        queue->features = 0;
        queue->desc_num = (uint16_t)ring->size;
        queue->used_idx = in_memory;
    }
    ring->used_idx = ring->signalled_used = queue->used_idx;
    ring->last_avail = resumes ? (uint16_t)(queue->used_idx + redo->count) : base;
    ring->event_idx = (queue->features >> VIRTIO_RING_F_EVENT_IDX) & 1;
    return resumes;
}

bool inflight_is_taken(const struct inflight *inflight, uint16_t head)
{
    return inflight->slot[head].inflight != 0;
}

void inflight_take(struct inflight *inflight, uint16_t head)
{
    struct vks_state_slot *slot = &inflight->slot[head];

    slot->counter = inflight->queue->next_counter++;
    slot->sequence = inflight->state->next_sequence++;
    slot->attempt = 0;
    __atomic_store_n(&slot->inflight, 1, __ATOMIC_RELEASE);
}

const struct vks_state_slot *inflight_run(struct inflight *inflight, uint16_t head)
{
    inflight->slot[head].attempt++;
    return &inflight->slot[head];
}

void inflight_cancel_run(struct inflight *inflight, uint16_t head)
{
    inflight->slot[head].attempt--;
}

void inflight_answer(struct inflight *inflight, struct vks_vring *ring, uint16_t head, uint32_t used_bytes)
{
    struct vks_state_queue *queue = inflight->queue;

    queue->last_batch_head = head;
    /* Release inside: last_batch_head is there before the guest, or a successor, sees the new used.idx. */
    vks_vring_push(ring, head, used_bytes);
    __atomic_store_n(&inflight->slot[head].inflight, 0, __ATOMIC_RELEASE);
    __atomic_store_n(&queue->used_idx, ring->used_idx, __ATOMIC_RELEASE);
}
