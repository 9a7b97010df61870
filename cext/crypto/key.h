/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A loaded key version: what libcrypto needs to use it, kept ready.
 *
 * Each lane (thread) has its own cached contexts, made at their first use and re-initialised afterwards; the parsed key
 * is shared. Everything lives in the secret arena. Nothing here knows grants or states: the caller has decided already.
 */
#ifndef VKS_KEY_H
#define VKS_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc.h"

/* Threads that use keys: a fast and a slow one for each ring. */
enum vks_lane {
    VKS_LANE_FAST = 0,
    VKS_LANE_SLOW = 1,
    VKS_LANE_PAIRS = 4,
    VKS_LANE_COUNT = 2 * VKS_LANE_PAIRS,
};

static inline enum vks_lane vks_lane_of(uint32_t pair, enum vks_lane lane)
{
    return (enum vks_lane)(2 * pair + (uint32_t)lane);
}

struct vks_key;

/*
 * Parse and check one slot. With VKS_TYPE_F_TOKEN in its type the material is the public half of a key pair that lies
 * in a token. The reference count starts at 1. 0, or -EINVAL: unknown type or length, -EBADMSG: not a key of this type
 * (curve, size, broken encoding), -ENOMEM: arena full, -ENOTSUP: libcrypto has no keys of this type. One thread.
 * *material* is not kept.
 */
__attribute__((warn_unused_result)) int vks_key_load(const struct vks_key_slot *slot, const uint8_t *material,
                                                     struct vks_key **key);

/* Reference count, one thread only (the fast lane). The last unref wipes and frees. */
void vks_key_ref(struct vks_key *key);
void vks_key_unref(struct vks_key *key);
/* It is used: it keeps its place for a while. The fast lane's, as what follows. */
void vks_key_touch(struct vks_key *key);
/* Whether it was not used since this was asked last, and the caller has the only reference. */
bool vks_key_may_go(struct vks_key *key);

const uint8_t *vks_key_id(const struct vks_key *key); /* 16 bytes */
uint32_t vks_key_version(const struct vks_key *key);
uint32_t vks_key_type(const struct vks_key *key); /* enum vks_key_type */
bool vks_key_is_in_token(const struct vks_key *key);

#endif
