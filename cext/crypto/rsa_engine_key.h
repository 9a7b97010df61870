/* SPDX-License-Identifier: Apache-2.0 */
/*
 * An RSA key as libcrypto_mb takes it, and its blinding (Kocher 1996) by libcrypto. One for each lane of a key, made
 * at its first use, and used by that lane's thread only.
 */
#ifndef VKS_RSA_ENGINE_KEY_H
#define VKS_RSA_ENGINE_KEY_H

#include <stdbool.h>
#include <stdint.h>

#include "key_private.h"

enum {
    RSA_ENGINE_LANES = 8,
};

struct rsa_words {
    const uint64_t *n, *p, *q, *dp, *dq, *iq;
};

struct rsa_engine_key;
/* What takes the blinding away again, a number for each of eight, and room to compute. */
struct rsa_unblinding;

struct rsa_unblinding *vks_rsa_unblinding_new(void);
void vks_rsa_unblinding_free(struct rsa_unblinding *unblinding);

/* Whether the library takes such a key: two primes of half the size, and 65537. */
bool vks_rsa_engine_key_suits(const struct vks_key_kind *kind, const EVP_PKEY *pkey);
/* NULL where memory is short, or a part of the key is too long or missing. */
struct rsa_engine_key *vks_rsa_engine_key_of(struct vks_key *key, enum vks_lane lane);
const struct rsa_words *vks_rsa_engine_key_words(const struct rsa_engine_key *key);
/* The encoded message (rsa_padding.h). */
__attribute__((warn_unused_result)) bool vks_rsa_engine_key_encode(const struct rsa_engine_key *key, uint32_t mechanism,
                                                                   const uint8_t *digest, uint8_t *encoded);
__attribute__((warn_unused_result)) bool vks_rsa_engine_key_blind(struct rsa_engine_key *key, const uint8_t *number,
                                                                  uint8_t *blinded, struct rsa_unblinding *unblinding,
                                                                  uint32_t index);
/* In place. */
__attribute__((warn_unused_result)) bool vks_rsa_engine_key_unblind(struct rsa_engine_key *key, uint8_t *number,
                                                                    struct rsa_unblinding *unblinding, uint32_t index);

#endif
