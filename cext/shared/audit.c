/* SPDX-License-Identifier: Apache-2.0 */
/* The audit ring's two ends. Knows indices and copies; what a record means is its writer's and reader's business. */
#include "audit.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

enum { COUNT_SHIFT = 48 };

static const uint64_t BYTES_MASK = (UINT64_C(1) << COUNT_SHIFT) - 1;

static struct vks_audit_record *ring_slot(const struct vks_audit_ring *ring, uint64_t index)
{
    return (struct vks_audit_record *)(uintptr_t)((const uint8_t *)ring + sizeof(*ring)) +
           index % VKS_AUDIT_RING_RECORDS;
}

uint32_t vks_audit_room(const struct vks_audit_ring *ring)
{
    /* Unsigned distance: a tail ahead of head gives a huge number, never room. */
    uint64_t waiting = ring->head - __atomic_load_n(&ring->tail, __ATOMIC_ACQUIRE);

    return waiting < VKS_AUDIT_RING_RECORDS ? (uint32_t)(VKS_AUDIT_RING_RECORDS - waiting) : 0;
}

uint64_t vks_audit_covered(uint64_t input_bytes)
{
    return UINT64_C(1) << COUNT_SHIFT | (input_bytes & BYTES_MASK);
}

uint32_t vks_audit_covered_requests(uint64_t covered)
{
    return (uint32_t)(covered >> COUNT_SHIFT);
}

uint64_t vks_audit_covered_bytes(uint64_t covered)
{
    return covered & BYTES_MASK;
}

int vks_audit_append(struct vks_audit_ring *ring, struct vks_audit_record *record)
{
    uint64_t head = ring->head;

    if (!vks_audit_room(ring))
        return -ENOSPC;
    record->record = head + 1;
    memcpy(ring_slot(ring, head), record, sizeof(*record));
    __atomic_store_n(&ring->head, head + 1, __ATOMIC_RELEASE);
    /* What is stored next is the result. */
    __atomic_thread_fence(__ATOMIC_RELEASE);
    return 0;
}

void vks_audit_extend(struct vks_audit_ring *ring, uint64_t record, uint64_t covered)
{
    __atomic_store_n(&ring_slot(ring, record - 1)->covered, covered, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_RELEASE);
}

void vks_audit_close_to(struct vks_audit_ring *ring, uint64_t record)
{
    __atomic_store_n(&ring->closed, record, __ATOMIC_RELEASE);
}

void vks_audit_close(struct vks_audit_ring *ring)
{
    vks_audit_close_to(ring, ring->head);
}

int vks_audit_peek(const struct vks_audit_ring *ring, struct vks_audit_record *records, uint32_t count_max)
{
    uint64_t tail = ring->tail;
    uint64_t closed = __atomic_load_n(&ring->closed, __ATOMIC_ACQUIRE);
    uint64_t head = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE);
    uint64_t count = closed - tail;

    /* head is read last and only grows: a closed index beyond it was never written by an honest worker. */
    if (head - tail > VKS_AUDIT_RING_RECORDS || count > head - tail)
        return -EPROTO;
    if (count > count_max)
        count = count_max;
    for (uint64_t i = 0; i < count; i++) {
        memcpy(&records[i], ring_slot(ring, tail + i), sizeof(records[i]));
        if (records[i].record != tail + i + 1)
            return -EPROTO;
    }
    return (int)count;
}

uint32_t vks_audit_waiting(const struct vks_audit_ring *ring)
{
    uint64_t count = __atomic_load_n(&ring->head, __ATOMIC_ACQUIRE) - ring->tail;

    return count > VKS_AUDIT_RING_RECORDS ? VKS_AUDIT_RING_RECORDS : (uint32_t)count;
}

uint32_t vks_audit_find_waiting(const struct vks_audit_ring *const *rings, uint32_t count, uint32_t *found)
{
    uint32_t found_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint64_t tail = rings[i]->tail;

        if (__atomic_load_n(&rings[i]->closed, __ATOMIC_ACQUIRE) != tail ||
            __atomic_load_n(&rings[i]->head, __ATOMIC_ACQUIRE) - tail > VKS_AUDIT_RING_RECORDS)
            found[found_count++] = i;
    }
    return found_count;
}

void vks_audit_take(struct vks_audit_ring *ring, uint32_t count)
{
    __atomic_store_n(&ring->tail, ring->tail + count, __ATOMIC_RELEASE);
}
