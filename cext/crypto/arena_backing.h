/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One range of memory cut into blocks: what an arena allocates from. Knows blocks and classes; must not know whose
 * memory it is, nor what lies in it. No lock: one thread at a time.
 */
#ifndef VKS_ARENA_BACKING_H
#define VKS_ARENA_BACKING_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum vks_backing_size {
    VKS_BLOCK_ALIGNMENT = 16,
    VKS_BLOCK_LINEAR_LOG2 = 10, /* most of what libcrypto allocates is less than that, and much of it very small */
    VKS_BLOCK_LINEAR_COUNT = (1 << VKS_BLOCK_LINEAR_LOG2) / VKS_BLOCK_ALIGNMENT,
    VKS_BLOCK_LAST_LOG2 = 26,
    VKS_BLOCK_STEPS = 8,
    VKS_BLOCK_CLASSES = VKS_BLOCK_LINEAR_COUNT + (VKS_BLOCK_LAST_LOG2 - VKS_BLOCK_LINEAR_LOG2) * VKS_BLOCK_STEPS,
};

struct vks_backing {
    uint8_t *bytes; /* aligned as blocks are */
    size_t size_bytes;
    size_t top; /* blocks lie in front of it, one behind the other */
    size_t peak;
    size_t used_bytes;                /* in blocks handed out, their heads included */
    bool has_freed;                   /* since neighbours were merged */
    uint8_t *free[VKS_BLOCK_CLASSES]; /* a free block's first bytes are the next one's address */
};

/* A block of *size_bytes*, from 1 on, not zeroed; NULL where there is no room. */
uint8_t *vks_backing_take(struct vks_backing *backing, size_t size_bytes);
/* Wipe a block, as far as it was asked for, and take it back. What is no live block aborts. */
void vks_backing_give(struct vks_backing *backing, uint8_t *block);
/* Whether *block* lies in it. */
bool vks_backing_has(const struct vks_backing *backing, const void *block);
/* How much was asked for; what is no live block aborts. */
size_t vks_backing_block_bytes(uint8_t *block);

#endif
