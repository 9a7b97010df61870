/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A split virtqueue from the device's side (virtio 1.2, 2.7): indices, publication, notification.
 *
 * Knows the three areas in guest memory; must not know requests or descriptors beyond the head's number. Our own
 * indices are the truth: what stands in guest memory is read once and checked, used.idx is never read back.
 */
#ifndef VKS_VRING_H
#define VKS_VRING_H

#include <linux/virtio_ring.h>
#include <stdbool.h>
#include <stdint.h>

#include "guest_mem.h"

enum vks_vring_limit {
    VKS_VRING_SIZE_MAX = 1024,
};

struct vks_vring_address {
    uint64_t desc_uva;
    uint64_t avail_uva;
    uint64_t used_uva;
};

struct vks_vring {
    volatile struct vring_desc *desc;
    volatile struct vring_avail *avail;
    volatile struct vring_used *used;
    uint32_t size;
    uint16_t last_avail;     /* next index to take */
    uint16_t used_idx;       /* next index to fill */
    uint16_t signalled_used; /* used_idx when the driver was last signalled */
    bool event_idx;          /* the driver said that it negotiated VIRTIO_F_EVENT_IDX */
    struct vks_vring_address address;
};

/*
 * Find the areas of a ring of *size* entries in guest memory. 0, -EINVAL for a size that is no power of two up to
 * VKS_VRING_SIZE_MAX or an unaligned address, -EFAULT for an area outside one region. Indices stay as they are.
 */
__attribute__((warn_unused_result)) int vks_vring_map(struct vks_vring *ring, const struct vks_guest_mem *mem,
                                                      uint32_t size, const struct vks_vring_address *address);

/* Entries that wait, or -EPROTO when avail.idx ran ahead by more than the ring holds. */
__attribute__((warn_unused_result)) int vks_vring_available(const struct vks_vring *ring);
/* The head that waits next, not yet taken (add 1 to last_avail for that); -EPROTO when it is beyond the ring. */
__attribute__((warn_unused_result)) int vks_vring_peek(const struct vks_vring *ring);
/* used.idx as the guest's memory has it: only for the repair at a start, never beyond the shadow. */
uint16_t vks_vring_used_in_memory(const struct vks_vring *ring);
/* Write one used element at the place of the next; the driver sees it when it is published. */
void vks_vring_put(const struct vks_vring *ring, uint16_t head, uint32_t used_bytes);
/* Publish it. */
void vks_vring_publish(struct vks_vring *ring);
/* Ask for a notification at the next available entry. Look at vks_vring_available again afterwards. */
void vks_vring_want_kick(struct vks_vring *ring);
/* Must the driver be signalled for what was pushed since this was last asked? */
__attribute__((warn_unused_result)) bool vks_vring_needs_signal(struct vks_vring *ring);

#endif
