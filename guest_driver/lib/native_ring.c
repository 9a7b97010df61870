/* SPDX-License-Identifier: BSD-3-Clause */
/* The index arithmetic of a split virtqueue. All indices are 16 bits wide and wrap. */
#include <errno.h>
#include <string.h>

#include "native_ring.h"

/* Each area on lines of its own: what the device writes must not share one with what it reads. */
#define AREA_ALIGN 64

static size_t aligned(size_t size)
{
    return (size + AREA_ALIGN - 1) / AREA_ALIGN * AREA_ALIGN;
}

/* avail and used end with the event index, whether it was negotiated or not: 2.7.6, 2.7.8. */
static size_t avail_bytes(uint16_t size)
{
    return 6 + 2 * (size_t)size;
}

static size_t used_bytes(uint16_t size)
{
    return 6 + 8 * (size_t)size;
}

size_t native_ring_bytes(uint16_t size)
{
    return aligned(sizeof(struct vring_desc) * size) + aligned(avail_bytes(size)) + aligned(used_bytes(size));
}

void native_ring_init(struct native_ring *ring, void *memory, uint16_t size, bool event_idx)
{
    uint8_t *at = memory;

    *ring = (struct native_ring){.size = size, .event_idx = event_idx};
    ring->desc = (struct vring_desc *)(void *)at;
    at += aligned(sizeof(struct vring_desc) * size);
    ring->avail = (volatile struct vring_avail *)(void *)at;
    at += aligned(avail_bytes(size));
    ring->used = (volatile struct vring_used *)(void *)at;
    native_ring_want_none(ring);
}

void native_ring_publish(struct native_ring *ring, uint16_t head)
{
    ring->avail->ring[ring->avail_idx & (ring->size - 1)] = head;
    ring->avail_idx++;
    ring->in_flight++;
    __atomic_store_n(&ring->avail->idx, ring->avail_idx, __ATOMIC_RELEASE);
}

bool native_ring_needs_kick(struct native_ring *ring)
{
    const volatile uint16_t *avail_event =
        (const volatile uint16_t *)(const volatile void *)&ring->used->ring[ring->size];
    uint16_t before = ring->kicked_idx, now = ring->avail_idx;

    if (before == now)
        return false;
    ring->kicked_idx = now;
    /* avail.idx must be visible before the device's wish is read, else a kick is lost: 2.7.10.1. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (ring->event_idx)
        return vring_need_event(*avail_event, now, before);
    return !(ring->used->flags & VRING_USED_F_NO_NOTIFY);
}

bool native_ring_has_used(const struct native_ring *ring)
{
    return __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) != ring->last_used;
}

int native_ring_take(struct native_ring *ring, struct native_used *used)
{
    uint16_t count = (uint16_t)(__atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE) - ring->last_used);
    const volatile struct vring_used_elem *element = &ring->used->ring[ring->last_used & (ring->size - 1)];
    uint32_t id;

    if (count == 0)
        return 0;
    if (count > ring->in_flight)
        return -EIO;
    id = element->id;
    used->used_bytes = element->len;
    if (id >= ring->size)
        return -EIO;
    used->head = (uint16_t)id;
    ring->last_used++;
    ring->in_flight--;
    ring->wants_signal = false;
    return 1;
}

static void set_used_event(struct native_ring *ring, uint16_t index)
{
    ring->avail->ring[ring->size] = index;
}

bool native_ring_want_signal(struct native_ring *ring)
{
    if (ring->wants_signal)
        return false;
    ring->wants_signal = true;
    ring->avail->flags = 0;
    set_used_event(ring, ring->last_used);
    /* The wish must be visible before used.idx is looked at again, else a signal is lost: 2.7.7.2. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    return native_ring_has_used(ring);
}

void native_ring_want_none(struct native_ring *ring)
{
    ring->wants_signal = false;
    if (!ring->event_idx)
        ring->avail->flags = VRING_AVAIL_F_NO_INTERRUPT;
    /* An index that used.idx does not reach before this is set again: no more than the ring's size are in flight. */
    set_used_event(ring, (uint16_t)(ring->last_used + ring->size));
}
