/* SPDX-License-Identifier: Apache-2.0 */
/* What a successor needs to know, written in the order in which it can be trusted after a SIGKILL at any instant. */
#include "inflight.h"

#include <stddef.h>
#include <string.h>

#include "kill_point.h"

void inflight_open(struct inflight *inflight, void *state, uint32_t queue)
{
    inflight->state = state;
    inflight->index = queue;
    inflight->queue = vks_state_queue(state, queue);
    inflight->slot = vks_state_slots(state, queue);
    KILL_POINT_OPEN(state);
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

/* The dead worker had published an answer and not written it down. */
static void repair_last_answer(struct inflight *inflight, uint16_t used_in_memory)
{
    struct vks_state_queue *queue = inflight->queue;
    uint16_t head = queue->last_batch_head, answered = queue->last_batch_used_idx;

    if (head >= VKS_STATE_QUEUE_SIZE_MAX || answered != (uint16_t)(queue->used_idx + 1))
        return;
    /* A mark that is cleared says that it was published; used.idx says it only when it is exactly that one. */
    if (inflight->slot[head].inflight && used_in_memory != answered)
        return;
    __atomic_store_n(&inflight->slot[head].inflight, 0, __ATOMIC_RELEASE);
    KILL_POINT(KILL_REPAIR);
    __atomic_store_n(&queue->used_idx, answered, __ATOMIC_RELEASE);
}

/* Whatever was being executed when a worker died counts a death; in the same worker it only has to be run again. */
static void count_deaths(struct inflight *inflight)
{
    for (uint32_t head = 0; head < VKS_STATE_QUEUE_SIZE_MAX; head++) {
        struct vks_state_slot *slot = &inflight->slot[head];
        uint8_t deaths = slot->run & VKS_STATE_RUN_DEATHS_MASK;

        if (!slot->inflight || !(slot->run & VKS_STATE_RUN_EXECUTING))
            continue;
        if (!inflight->started && deaths < VKS_STATE_RUN_DEATHS_MASK)
            deaths++;
        __atomic_store_n(&slot->run, deaths, __ATOMIC_RELEASE);
        KILL_POINT(KILL_DEATH_COUNTED);
    }
}

/* Nothing of the table may be taken for the new ring's if this is cut short: size first, identity last. */
static void reset(struct inflight *inflight, const struct vks_vring *ring, uint16_t used_in_memory)
{
    struct vks_state_queue *queue = inflight->queue;

    __atomic_store_n(&queue->desc_num, 0, __ATOMIC_RELEASE);
    memset(inflight->slot, 0, VKS_STATE_QUEUE_SIZE_MAX * sizeof(*inflight->slot));
    KILL_POINT(KILL_RESET);
    queue->features = 0;
    queue->used_idx = queue->last_batch_used_idx = used_in_memory;
    __atomic_store_n(&queue->desc_num, (uint16_t)ring->size, __ATOMIC_RELEASE);
}

bool inflight_start(struct inflight *inflight, struct vks_vring *ring, const struct inflight_start *start,
                    struct head_queue *redo)
{
    struct vks_state_queue *queue = inflight->queue;
    uint16_t in_memory = vks_vring_used_in_memory(ring);
    bool resumes = queue->desc_num == ring->size;

    redo_collect(inflight, redo);
    /* A start that this table has seen goes on whatever base says; another one must continue where it left off. */
    if (!start->id || queue->start_id != start->id)
        resumes = resumes && start->base == vks_state_next_base(inflight->state, inflight->index) &&
                  /* Base 0 is also that of a ring that was reset: there, only used.idx tells that it goes on. */
                  (start->base || (redo->count && (uint16_t)(in_memory - queue->used_idx) <= 1));
    if (resumes) {
        repair_last_answer(inflight, in_memory);
        count_deaths(inflight);
    } else {
        reset(inflight, ring, in_memory);
    }
    inflight->started = true;
    redo_collect(inflight, redo);
    __atomic_store_n(&queue->start_id, start->id, __ATOMIC_RELEASE);
    ring->used_idx = ring->signalled_used = queue->used_idx;
    ring->last_avail = resumes ? (uint16_t)(queue->used_idx + redo->count) : start->base;
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
    slot->sequence = vks_state_sequence(inflight->index, slot->counter);
    slot->attempt = 0;
    slot->run = 0;
    slot->charged = 0;
    __atomic_store_n(&slot->inflight, 1, __ATOMIC_RELEASE);
    KILL_POINT(KILL_TAKEN);
}

uint8_t *inflight_execute(struct inflight *inflight, uint16_t head)
{
    uint8_t *run = &inflight->slot[head].run;

    __atomic_store_n(run, *run | VKS_STATE_RUN_EXECUTING, __ATOMIC_RELEASE);
    return run;
}

bool inflight_has_run(const struct inflight *inflight, uint16_t head)
{
    return inflight->slot[head].attempt != 0;
}

void inflight_postpone(struct inflight *inflight, uint16_t head)
{
    uint8_t *run = &inflight->slot[head].run;

    __atomic_store_n(run, *run & VKS_STATE_RUN_DEATHS_MASK, __ATOMIC_RELEASE);
}

uint32_t inflight_deaths(const struct inflight *inflight, uint16_t head)
{
    return inflight->slot[head].run & VKS_STATE_RUN_DEATHS_MASK;
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
    KILL_POINT(KILL_BATCH_HEAD);
    /* Not before the head: the old head, answered long ago, would look as if it had this number. */
    __atomic_store_n(&queue->last_batch_used_idx, (uint16_t)(ring->used_idx + 1), __ATOMIC_RELEASE);
    vks_vring_put(ring, head, used_bytes);
    KILL_POINT(KILL_USED_ELEMENT);
    vks_vring_publish(ring);
    KILL_POINT(KILL_USED_IDX);
    __atomic_store_n(&inflight->slot[head].inflight, 0, __ATOMIC_RELEASE);
    KILL_POINT(KILL_CLEARED);
    __atomic_store_n(&queue->used_idx, ring->used_idx, __ATOMIC_RELEASE);
    KILL_POINT(KILL_WRITTEN_DOWN);
}
