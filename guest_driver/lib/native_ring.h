/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A split virtqueue from the driver's side (virtio 1.2, 2.7): indices, publication, notification.
 *
 * Knows the three areas in shared memory, not what descriptors point at. What the device writes there is not believed:
 * each value is read once and held against our own books. Integers are the host's: both sides are on it. No lock: one
 * thread at a time, but for native_ring_has_used().
 */
#ifndef VKS_NATIVE_RING_H
#define VKS_NATIVE_RING_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "vks.h"

struct native_ring {
    struct vring_desc *desc;
    volatile struct vring_avail *avail;
    volatile struct vring_used *used;
    uint16_t size;
    uint16_t avail_idx;  /* next index to fill */
    uint16_t kicked_idx; /* avail_idx when the device was last told of it, or did not want to be */
    uint16_t last_used;  /* next index to take */
    uint16_t in_flight;
    bool event_idx;
    bool wants_signal; /* for the element at last_used */
};

struct native_used {
    uint16_t head;
    uint32_t used_bytes; /* what the device says */
};

/* Of a ring of @size entries, a power of two, and where its parts begin. */
size_t native_ring_bytes(uint16_t size);
/* @memory: zeroes, page-aligned. */
void native_ring_init(struct native_ring *ring, void *memory, uint16_t size, bool event_idx);

/* Makes the chain that begins at @head available; at most @size are at a time. */
void native_ring_publish(struct native_ring *ring, uint16_t head);
/* Does the device want to be told of what was published since this was last asked? */
VKS_MUST_CHECK bool native_ring_needs_kick(struct native_ring *ring);
/* 1: @used is the next element; 0: there is none; -EIO: an index or a head that cannot be. */
VKS_MUST_CHECK int native_ring_take(struct native_ring *ring, struct native_used *used);
VKS_MUST_CHECK bool native_ring_has_used(const struct native_ring *ring);
/* Asks for a signal at the next used element. True: one is there already, and may never be signalled. */
VKS_MUST_CHECK bool native_ring_want_signal(struct native_ring *ring);
/* Asks for none, as far as the device listens. */
void native_ring_want_none(struct native_ring *ring);

#endif
