/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One descriptor chain: from a head to a checked list of guest memory ranges, then bytes in and out of them.
 *
 * Each field of a descriptor is loaded once; afterwards only the list counts. Knows virtio 1.2, 2.7 (split virtqueues,
 * indirect descriptors); must not know what the bytes mean.
 */
#ifndef VKS_DESC_CHAIN_H
#define VKS_DESC_CHAIN_H

#include <linux/virtio_ring.h>
#include <stdint.h>

#include "guest_mem.h"
#include "vmm_keystore.h"

struct vks_segment {
    uint64_t gpa;
    uint8_t *host; /* valid until the memory table changes, see vks_desc_chain_resolve */
    uint32_t size_bytes;
    uint32_t reserved;
};

struct vks_desc_chain {
    uint64_t readable_bytes;
    uint64_t writable_bytes;
    uint8_t *status; /* the last device-writable byte; NULL where there is none, or it is outside guest memory */
    uint32_t readable_count;
    uint32_t segment_count;
    struct vks_segment *segment; /* device-readable ones first; the caller's, VKS_DESCRIPTORS_MAX places for a walk */
};

/*
 * Walk the chain that begins at *head* of a table of *table_count* descriptors. 0, or
 *   -E2BIG   more than VKS_DESCRIPTORS_MAX descriptors: a loop
 *   -EINVAL  a next index beyond the table, an indirect table of a wrong size or inside another, INDIRECT with NEXT, a
 *            readable descriptor behind a writable one, a readable and a writable range that overlap
 *   -EFAULT  an address outside guest memory
 * On failure only *status* and writable_bytes may be used, and *status* is NULL unless the walk came to its end.
 * Empty descriptors carry no bytes and are passed over.
 */
__attribute__((warn_unused_result)) int vks_desc_chain_walk(struct vks_desc_chain *chain,
                                                            const struct vks_guest_mem *mem,
                                                            const volatile struct vring_desc *table,
                                                            uint32_t table_count, uint32_t head);
/* Find the ranges again in a new memory table; -EFAULT where one of them is gone. */
__attribute__((warn_unused_result)) int vks_desc_chain_resolve(struct vks_desc_chain *chain,
                                                               const struct vks_guest_mem *mem);

/* Copy device-readable bytes out, once. -EFAULT unless [offset, offset + size_bytes) lies within the chain. */
__attribute__((warn_unused_result)) int vks_desc_chain_read(const struct vks_desc_chain *chain, uint64_t offset,
                                                            void *to, uint32_t size_bytes);
/* Write device-writable bytes; what lies beyond the chain is not written. A NULL *from* writes zeros. */
void vks_desc_chain_write(const struct vks_desc_chain *chain, uint64_t offset, const void *from, uint64_t size_bytes);

#endif
