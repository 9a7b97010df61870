/* SPDX-License-Identifier: Apache-2.0 */
/* The inside of a loaded key: for the operations, nobody else. */
#ifndef VKS_KEY_PRIVATE_H
#define VKS_KEY_PRIVATE_H

#include <openssl/evp.h>
#include <stdatomic.h>
#include <stdbool.h>

#include "algorithm.h"
#include "key.h"
#include "key_kind.h"

/* An EVP_PKEY_CTX that is initialised for one operation and mechanism, to be used again as it is. */
struct vks_key_context {
    uint32_t op;
    uint32_t mechanism;
    EVP_PKEY_CTX *context;
};

struct vks_key_lane {
    struct vks_key_context private_use; /* sign, decrypt */
    struct vks_key_context public_use;  /* verify, encrypt */
    EVP_PKEY_CTX *derive;
    EVP_PKEY_CTX *decapsulate;
    EVP_MD_CTX *pure_signature;
    EVP_MAC_CTX *mac;
    EVP_CIPHER_CTX *cipher[VKS_CIPHER_MODE_COUNT][2]; /* decrypt, encrypt */
    void *engine;                                     /* what an engine needs of the key, made at its first use */
    void (*engine_free)(void *engine);
};

struct vks_key {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t reference_count; /* fast lane only */
    bool touched;             /* fast lane only */
    const struct vks_key_kind *kind;
    bool in_token; /* *pkey* is the public half only */
    EVP_PKEY *pkey;
    uint8_t *material; /* raw, symmetric types only */
    uint32_t material_bytes;
    uint8_t *public_der; /* SubjectPublicKeyInfo, made at its first use; one lane at a time */
    uint32_t public_bytes;
    uint32_t nonce_lease;
    _Atomic uint64_t nonce_counter;            /* both lanes encrypt */
    bool plain_rsa;                            /* one that engines take */
    struct vks_key_lane *lane[VKS_LANE_COUNT]; /* each its thread's own, made at its first use */
};

/* What *lane* has of the key; NULL where there is no room for it. */
struct vks_key_lane *vks_key_lane(struct vks_key *key, enum vks_lane lane);

/* Make what an engine needs of *key* in *block*, which is zeroed; false: it cannot be. */
typedef bool vks_engine_part_make(const struct vks_key *key, enum vks_lane lane, uint8_t *block);
/*
 * The lane's block of the arena with what an engine needs of the key, made at its first use and kept with the key. NULL
 * where there is no room, or *make* fails.
 */
uint8_t *vks_key_engine_part(struct vks_key *key, enum vks_lane lane, size_t size_bytes, vks_engine_part_make *make);

#endif
