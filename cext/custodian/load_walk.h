/* SPDX-License-Identifier: Apache-2.0 */
/* Sealed blobs in a message: a struct vks_custodian_load_entry each, and its bytes padded to 8. */
#ifndef VKS_LOAD_WALK_H
#define VKS_LOAD_WALK_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc.h"

struct vks_load_walk {
    const uint8_t *bytes;
    uint32_t left_bytes;
};

/* The next entry, copied out, and its blob, of a possible length; false when what is left does not hold one. */
__attribute__((warn_unused_result)) bool
vks_load_walk_next(struct vks_load_walk *walk, struct vks_custodian_load_entry *entry, const uint8_t **sealed);

#endif
