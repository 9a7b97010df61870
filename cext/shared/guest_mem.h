/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Guest memory as the front-end shares it: regions mapped from its descriptors, looked up by address.
 *
 * Knows addresses and mappings; must not know rings or requests. The bytes are the guest's: they change at any time,
 * and a range that was checked stays valid only until the table is replaced. One thread.
 */
#ifndef VKS_GUEST_MEM_H
#define VKS_GUEST_MEM_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"

struct vks_region {
    uint64_t gpa;
    uint64_t uva; /* in the front-end's address space; ring addresses come as such */
    uint64_t size_bytes;
    uint8_t *host;
    void *map; /* what munmap takes: a region may begin inside a page */
    size_t map_bytes;
};

struct vks_guest_mem {
    uint32_t region_count;
    struct vks_region region[VKS_IPC_REGIONS_MAX];
};

/*
 * Map every region of *table*, one fd each; the fds stay the caller's. All or nothing: on failure *mem* is empty.
 * -EINVAL: sizes, wrapping or overlapping addresses; -EBADF: not a regular file, or shorter than announced; or errno of
 * mmap.
 */
__attribute__((warn_unused_result)) int vks_guest_mem_map(struct vks_guest_mem *mem,
                                                          const struct vks_worker_mem_table *table, const int *fds);
void vks_guest_mem_unmap(struct vks_guest_mem *mem);

/* *size_bytes* bytes at a guest physical address, all in one region; NULL when they are not, or none are asked for. */
uint8_t *vks_guest_range(const struct vks_guest_mem *mem, uint64_t gpa, uint32_t size_bytes);
/* The same by front-end virtual address. */
uint8_t *vks_guest_range_uva(const struct vks_guest_mem *mem, uint64_t uva, uint32_t size_bytes);

#endif
