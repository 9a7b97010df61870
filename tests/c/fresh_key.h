/* SPDX-License-Identifier: Apache-2.0 */
/* A loaded key that nobody had before. */
#ifndef VKS_FRESH_KEY_H
#define VKS_FRESH_KEY_H

#include "check.h"
#include "check.h"
#include "key.h"
#include "key_generate.h"
#include "key_kind.h"
#include "secret_arena.h"

static struct vks_key *fresh_key(uint32_t type)
{
    struct vks_key_slot slot = {.type = type, .nonce_lease = 7};
    uint8_t *material;
    size_t material_bytes;
    struct vks_key *key;

    CHECK_EQUAL("generate", vks_key_generate(vks_key_kind_find(type), &material, &material_bytes), 0);
    slot.material_bytes = (uint32_t)material_bytes;
    CHECK_EQUAL("load", vks_key_load(&slot, material, &key), 0);
    vks_secret_free(material);
    return key;
}

#endif
