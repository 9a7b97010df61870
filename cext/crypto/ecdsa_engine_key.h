/* SPDX-License-Identifier: Apache-2.0 */
/* What libcrypto_mb needs of an ECDSA key and of libcrypto: scalar, nonce and digest as numbers of the order's size. */
#ifndef VKS_ECDSA_ENGINE_KEY_H
#define VKS_ECDSA_ENGINE_KEY_H

#include "op_family.h"

enum {
    VKS_ECDSA_ORDER_BYTES_MAX = 48,
    VKS_ECDSA_WORDS_MAX = VKS_ECDSA_ORDER_BYTES_MAX / 8,
};

/* The private scalar as words, kept with the key from its first use on; NULL where there is no room. */
const uint64_t *vks_ecdsa_scalar(struct vks_key *key, enum vks_lane lane);
/* A nonce: uniform below the order, of libcrypto's private generator, not zero. */
bool vks_ecdsa_make_nonce(uint32_t order_bytes, enum vks_lane lane, uint64_t words[VKS_ECDSA_WORDS_MAX]);
/* The leftmost bits of a digest longer than the order; a shorter one is a number all the same. */
bool vks_ecdsa_set_digest(const struct vks_operation *operation, uint32_t order_bytes, enum vks_lane lane, uint8_t *to);

#endif
