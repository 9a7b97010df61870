/* SPDX-License-Identifier: Apache-2.0 */
/* Where the parts of a state memory file lie. Offsets come from this file's constants, never from the file itself. */
#include "state.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "audit.h"
#include "latency.h"

/* The first queue's table is where it was when it was the only one; the others' lie at the end. */
#define QUEUE_BYTES                                                                                                    \
    (sizeof(struct vks_state_queue) + VKS_STATE_QUEUE_SIZE_MAX * (uint32_t)sizeof(struct vks_state_slot))
#define CHARGE_OFFSET  (sizeof(struct vks_state_head) + QUEUE_BYTES)
#define BUDGET_OFFSET  (CHARGE_OFFSET + sizeof(struct vks_state_charge))
#define AUDIT_OFFSET   (BUDGET_OFFSET + VKS_STATE_BUDGETS_MAX * sizeof(struct vks_state_budget))
#define AUDIT_BYTES    (sizeof(struct vks_audit_ring) + VKS_AUDIT_RING_RECORDS * VKS_AUDIT_RECORD_BYTES)
#define LATENCY_OFFSET (AUDIT_OFFSET + AUDIT_BYTES)
#define BYTES_BEFORE   (LATENCY_OFFSET + VKS_LATENCY_MAX * sizeof(struct vks_latency))
#define STATE_BYTES    (BYTES_BEFORE + (VKS_STATE_QUEUES_MAX - 1) * QUEUE_BYTES)

_Static_assert(AUDIT_OFFSET % 64 == 0, "the audit ring's lines must not be shared with the queues");
_Static_assert(LATENCY_OFFSET % 64 == 0, "a histogram is three whole lines");
_Static_assert(BYTES_BEFORE % 64 == 0, "nor the audit ring's with further queues");

uint32_t vks_state_bytes(void)
{
    return (uint32_t)STATE_BYTES;
}

void vks_state_init(void *state)
{
    struct vks_state_head *head = state;
    struct vks_audit_ring *ring = vks_state_audit(state);

    head->version = VKS_STATE_VERSION;
    head->size_bytes = (uint32_t)STATE_BYTES;
    head->queue_count = VKS_STATE_QUEUES_MAX;
    for (uint32_t i = 0; i < VKS_STATE_QUEUES_MAX; i++)
        vks_state_queue(state, i)->version = 1;
    ring->record_count = VKS_AUDIT_RING_RECORDS;
    ring->record_bytes = VKS_AUDIT_RECORD_BYTES;
    /* Last, so that a file cut short by a crash is never taken for a whole one. */
    __atomic_store_n(&head->magic, VKS_STATE_MAGIC, __ATOMIC_RELEASE);
}

uint32_t vks_state_bytes_before(void)
{
    return (uint32_t)BYTES_BEFORE;
}

/* What both versions have in common. */
static int check_parts(const void *state, uint32_t queue_count)
{
    const struct vks_state_head *head = state;
    const struct vks_audit_ring *ring = (const struct vks_audit_ring *)((const uint8_t *)state + AUDIT_OFFSET);

    if (head->magic != VKS_STATE_MAGIC || head->queue_count != queue_count)
        return -EPROTO;
    if (ring->record_count != VKS_AUDIT_RING_RECORDS || ring->record_bytes != VKS_AUDIT_RECORD_BYTES ||
        ring->head - ring->tail > VKS_AUDIT_RING_RECORDS || ring->head - ring->closed > ring->head - ring->tail)
        return -EPROTO;
    return 0;
}

int vks_state_check(const void *state, uint64_t size_bytes)
{
    const struct vks_state_head *head = state;

    if (size_bytes < STATE_BYTES || head->version != VKS_STATE_VERSION || head->size_bytes != STATE_BYTES)
        return -EPROTO;
    return check_parts(state, VKS_STATE_QUEUES_MAX);
}

int vks_state_check_before(const void *state, uint64_t size_bytes)
{
    const struct vks_state_head *head = state;

    if (size_bytes < BYTES_BEFORE || head->version != VKS_STATE_VERSION_BEFORE)
        return -EPROTO;
    /* Whoever grew it may have died between its two stores. */
    if (head->size_bytes != BYTES_BEFORE && (head->size_bytes != STATE_BYTES || size_bytes < STATE_BYTES))
        return -EPROTO;
    return check_parts(state, head->queue_count == VKS_STATE_QUEUES_MAX ? VKS_STATE_QUEUES_MAX : 1);
}

void vks_state_upgrade(void *state)
{
    struct vks_state_head *head = state;

    vks_state_queue(state, 0)->next_counter = head->next_sequence - 1;
    for (uint32_t i = 1; i < VKS_STATE_QUEUES_MAX; i++)
        vks_state_queue(state, i)->version = 1;
    __atomic_store_n(&head->queue_count, VKS_STATE_QUEUES_MAX, __ATOMIC_RELEASE);
    __atomic_store_n(&head->size_bytes, (uint32_t)STATE_BYTES, __ATOMIC_RELEASE);
    __atomic_store_n(&head->version, VKS_STATE_VERSION, __ATOMIC_RELEASE);
}

struct vks_state_queue *vks_state_queue(void *state, uint32_t queue)
{
    size_t offset = queue ? BYTES_BEFORE + (queue - 1) * QUEUE_BYTES : sizeof(struct vks_state_head);

    return (struct vks_state_queue *)((uint8_t *)state + offset);
}

uint64_t vks_state_sequence(uint32_t queue, uint64_t counter)
{
    return (uint64_t)queue << VKS_STATE_SEQUENCE_SHIFT |
           ((counter + 1) & ((UINT64_C(1) << VKS_STATE_SEQUENCE_SHIFT) - 1));
}

bool vks_state_is_used(void *state)
{
    for (uint32_t i = 0; i < VKS_STATE_QUEUES_MAX; i++)
        if (vks_state_queue(state, i)->next_counter)
            return true;
    return false;
}

struct vks_state_slot *vks_state_slots(void *state, uint32_t queue)
{
    return (struct vks_state_slot *)(vks_state_queue(state, queue) + 1);
}

struct vks_state_charge *vks_state_charge(void *state)
{
    return (struct vks_state_charge *)((uint8_t *)state + CHARGE_OFFSET);
}

struct vks_state_budget *vks_state_budget(void *state, uint32_t index)
{
    return (struct vks_state_budget *)((uint8_t *)state + BUDGET_OFFSET) + index;
}

struct vks_audit_ring *vks_state_audit(void *state)
{
    return (struct vks_audit_ring *)((uint8_t *)state + AUDIT_OFFSET);
}

struct vks_latency *vks_state_latencies(void *state)
{
    return (struct vks_latency *)((uint8_t *)state + LATENCY_OFFSET);
}

uint32_t vks_state_in_flight(void *state, uint32_t queue)
{
    const struct vks_state_slot *slot = vks_state_slots(state, queue);
    uint32_t count = 0;

    for (uint32_t i = 0; i < VKS_STATE_QUEUE_SIZE_MAX; i++)
        count += slot[i].inflight != 0;
    return count;
}

uint32_t vks_state_next_base(void *state, uint32_t queue)
{
    const struct vks_state_queue *table = vks_state_queue(state, queue);
    const struct vks_state_slot *slot = vks_state_slots(state, queue);
    uint16_t head = table->last_batch_head, next = table->used_idx;

    /* Died between the last two writes of an answer: its mark is cleared, used_idx does not count it yet. */
    if (head < VKS_STATE_QUEUE_SIZE_MAX && !slot[head].inflight && table->last_batch_used_idx == (uint16_t)(next + 1))
        next++;
    return (uint16_t)(next + vks_state_in_flight(state, queue));
}
