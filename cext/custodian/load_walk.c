/* SPDX-License-Identifier: Apache-2.0 */
/* Knows lengths; must not know what becomes of the blobs. */
#include "load_walk.h"

#include <string.h>

#include "seal.h"

bool vks_load_walk_next(struct vks_load_walk *walk, struct vks_custodian_load_entry *entry, const uint8_t **sealed)
{
    uint32_t padded;

    if (walk->left_bytes < sizeof(*entry))
        return false;
    memcpy(entry, walk->bytes, sizeof(*entry));
    walk->bytes += sizeof(*entry);
    walk->left_bytes -= (uint32_t)sizeof(*entry);
    if (entry->sealed_bytes <= VKS_SEAL_OVERHEAD || entry->sealed_bytes > VKS_SEAL_BYTES_MAX)
        return false;
    padded = (entry->sealed_bytes + 7) & ~UINT32_C(7);
    if (padded > walk->left_bytes)
        return false;
    *sealed = walk->bytes;
    walk->bytes += padded;
    walk->left_bytes -= padded;
    return true;
}
