/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key slots in a secret page (struct vks_key_slot of ipc.h): how the custodian lays them out and the worker walks them.
 */
#ifndef VKS_KEY_SLOT_H
#define VKS_KEY_SLOT_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"

enum vks_key_slot_limit {
    VKS_KEY_MATERIAL_BYTES_MAX = 4096, /* PKCS#8 of RSA-4096 is about 2400 */
};

struct vks_key_slot_walk {
    const uint8_t *page;
    size_t page_bytes;
    size_t offset;
};

/* Bytes one slot takes in a page, its padding included. */
size_t vks_key_slot_bytes(size_t material_bytes);
/*
 * The next slot, its head copied out, *material* pointing into the page. 1, 0 at the end of the page's bytes (or
 * before what is too short for a head), -EPROTO when a slot does not fit into what is left.
 */
__attribute__((warn_unused_result)) int vks_key_slot_next(struct vks_key_slot_walk *walk, struct vks_key_slot *slot,
                                                          const uint8_t **material);
/* Where to write the material of a further slot, its head written; NULL when the page is full. */
uint8_t *vks_key_slot_append(uint8_t *page, size_t page_bytes, size_t *offset, const struct vks_key_slot *slot);

#endif
