/* SPDX-License-Identifier: Apache-2.0 */
/* The index arithmetic of a split virtqueue. All indices are 16 bits wide and wrap. */
#include "vring.h"

#include <errno.h>
#include <stddef.h>

static void *area(const struct vks_guest_mem *mem, uint64_t uva, uint32_t size_bytes, uint32_t alignment, int *error)
{
    void *range = NULL;

    if (uva % alignment) {
        *error = -EINVAL;
        return NULL;
    }
    range = vks_guest_range_uva(mem, uva, size_bytes);
    /* A region that begins at an odd place in its file would make aligned addresses unaligned here. */
    if (!range || (uintptr_t)range % alignment)
        *error = -EFAULT;
    return range;
}

int vks_vring_map(struct vks_vring *ring, const struct vks_guest_mem *mem, uint32_t size,
                  const struct vks_vring_address *address)
{
    void *desc, *avail, *used;
    int error = 0;

    if (size == 0 || size > VKS_VRING_SIZE_MAX || (size & (size - 1)))
        return -EINVAL;
    /* avail and used end with the event index, whether it was negotiated or not: 2.7.6, 2.7.8. */
    desc = area(mem, address->desc_uva, 16 * size, 16, &error);
    avail = area(mem, address->avail_uva, 6 + 2 * size, 2, &error);
    used = area(mem, address->used_uva, 6 + 8 * size, 4, &error);
    if (error)
        return error;
    ring->desc = desc;
    ring->avail = avail;
    ring->used = used;
    ring->size = size;
    ring->address = *address;
    return 0;
}

int vks_vring_available(const struct vks_vring *ring)
{
    uint16_t count = (uint16_t)(__atomic_load_n(&ring->avail->idx, __ATOMIC_ACQUIRE) - ring->last_avail);

    return count > ring->size ? -EPROTO : count;
}

int vks_vring_peek(const struct vks_vring *ring)
{
    uint16_t head = ring->avail->ring[ring->last_avail & (ring->size - 1)];

    return head >= ring->size ? -EPROTO : head;
}

uint16_t vks_vring_used_in_memory(const struct vks_vring *ring)
{
    return __atomic_load_n(&ring->used->idx, __ATOMIC_ACQUIRE);
}

void vks_vring_put(const struct vks_vring *ring, uint16_t head, uint32_t used_bytes)
{
    volatile struct vring_used_elem *element = &ring->used->ring[ring->used_idx & (ring->size - 1)];

    element->id = head;
    element->len = used_bytes;
}

void vks_vring_publish(struct vks_vring *ring)
{
    ring->used_idx++;
    __atomic_store_n(&ring->used->idx, ring->used_idx, __ATOMIC_RELEASE);
}

void vks_vring_want_kick(struct vks_vring *ring)
{
    volatile uint16_t *avail_event = (volatile uint16_t *)(volatile void *)&ring->used->ring[ring->size];

    *avail_event = ring->last_avail;
    /* The event must be visible before avail.idx is looked at again, else a kick is lost: 2.7.10.1. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
}

bool vks_vring_needs_signal(struct vks_vring *ring)
{
    uint16_t before = ring->signalled_used, now = ring->used_idx;

    if (before == now)
        return false;
    ring->signalled_used = now;
    /* used.idx must be visible before the driver's wish is read, else a signal is lost: 2.7.7.2. */
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (ring->event_idx)
        return vring_need_event(ring->avail->ring[ring->size], now, before);
    return !(ring->avail->flags & VRING_AVAIL_F_NO_INTERRUPT);
}
