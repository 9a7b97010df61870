/* SPDX-License-Identifier: Apache-2.0 */
/* The layout of slots in a page. Knows lengths; must not know what the material means. */
#include "key_slot.h"

#include <errno.h>
#include <string.h>

_Static_assert(sizeof(struct vks_key_slot) == 32, "key slot layout");

static size_t padded(size_t size_bytes)
{
    return (size_bytes + 7) & ~(size_t)7;
}

size_t vks_key_slot_bytes(size_t material_bytes)
{
    return sizeof(struct vks_key_slot) + padded(material_bytes);
}

int vks_key_slot_next(struct vks_key_slot_walk *walk, struct vks_key_slot *slot, const uint8_t **material)
{
    size_t left = walk->page_bytes - walk->offset;

    if (walk->offset > walk->page_bytes)
        return -EPROTO;
    if (left < sizeof(*slot))
        return 0;
    memcpy(slot, walk->page + walk->offset, sizeof(*slot));
    left -= sizeof(*slot);
    if (slot->material_bytes > VKS_KEY_MATERIAL_BYTES_MAX || padded(slot->material_bytes) > left)
        return -EPROTO;
    *material = walk->page + walk->offset + sizeof(*slot);
    walk->offset += vks_key_slot_bytes(slot->material_bytes);
    return 1;
}

uint8_t *vks_key_slot_append(uint8_t *page, size_t page_bytes, size_t *offset, const struct vks_key_slot *slot)
{
    uint8_t *material;

    if (slot->material_bytes > VKS_KEY_MATERIAL_BYTES_MAX || *offset > page_bytes ||
        vks_key_slot_bytes(slot->material_bytes) > page_bytes - *offset)
        return NULL;
    memcpy(page + *offset, slot, sizeof(*slot));
    material = page + *offset + sizeof(*slot);
    *offset += vks_key_slot_bytes(slot->material_bytes);
    return material;
}
