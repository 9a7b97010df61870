/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory that is shared with the device, and where in it each request lies.
 *
 *     | ring | slot 0 | slot 1 | ... | slot 511 | large area, in units |
 *
 * A request has a slot; one that does not fit there has units of the large area instead, one behind the other. Bounded:
 * where nothing is left, requests wait. The memory cannot be made smaller or larger, is in no core dump and in no
 * child's address space. No lock: one thread at a time, but for the bytes of a place, which are its owner's.
 */
#ifndef VKS_NATIVE_BUFFERS_H
#define VKS_NATIVE_BUFFERS_H

#include <stddef.h>
#include <stdint.h>

#include "vks.h"

enum native_buffers_size {
    NATIVE_SLOTS = 512,
    NATIVE_RING_SIZE = 2 * NATIVE_SLOTS, /* what the device reads of a request, and what it writes */
    NATIVE_SLOT_BYTES = 16384,
    NATIVE_UNIT_BYTES = 65536,
    NATIVE_UNITS = 512,
};

/* Where the memory begins for the device: address 0 in a descriptor is then always a mistake. */
#define NATIVE_GPA (UINT64_C(1) << 32)

struct native_buffers {
    int fd;
    uint8_t *base;
    size_t size_bytes;
    size_t slots_offset;
    uint32_t free_count;
    uint16_t free_slots[NATIVE_SLOTS]; /* the one that was given back last is taken first */
    uint8_t unit_is_taken[NATIVE_UNITS];
};

struct native_place {
    uint16_t slot;
    uint16_t unit; /* the first of them */
    uint16_t unit_count;
    size_t offset; /* from base */
};

/* @ring_bytes: how much room the ring needs, at base. The memory is zero. */
VKS_MUST_CHECK int native_buffers_open(struct native_buffers *buffers, size_t ring_bytes);
/* The descriptor; the mapping too, but in a child of fork(), which has none. */
void native_buffers_close(struct native_buffers *buffers, bool is_child);

/* -EAGAIN: no room now. @size_bytes: at most all of the large area. */
VKS_MUST_CHECK int native_buffers_take(struct native_buffers *buffers, size_t size_bytes, struct native_place *place);
void native_buffers_give(struct native_buffers *buffers, const struct native_place *place);

#endif
