/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Algorithms of libcrypto by our numbers, fetched once per process: an implicit fetch in each operation costs more
 * than a short MAC.
 */
#ifndef VKS_ALGORITHM_H
#define VKS_ALGORITHM_H

#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "key.h"
#include "key_kind.h"

enum vks_hash {
    VKS_HASH_NONE = 0,
    VKS_HASH_SHA1 = 1,
    VKS_HASH_SHA256 = 2,
    VKS_HASH_SHA384 = 3,
    VKS_HASH_SHA512 = 4,
    VKS_HASH_COUNT = 5,
};

enum vks_hash_limit {
    VKS_HASH_BYTES_MAX = 64,
};

enum vks_cipher_mode {
    VKS_CIPHER_GCM = 0,
    VKS_CIPHER_CBC = 1,
    VKS_CIPHER_CTR = 2,
    VKS_CIPHER_CHACHA20_POLY1305 = 3,
    VKS_CIPHER_KW = 4,
    VKS_CIPHER_KWP = 5,
    VKS_CIPHER_XTS = 6,
    VKS_CIPHER_MODE_COUNT = 7,
};

/*
 * Fetch everything; -ENOTSUP when this libcrypto lacks something, ML-DSA and ML-KEM apart, which came with OpenSSL 3.5.
 * Again is harmless.
 */
__attribute__((warn_unused_result)) int vks_algorithm_fetch(void);

/* Whether libcrypto has keys of this kind. */
bool vks_algorithm_has(const struct vks_key_kind *kind);
/* The types of which it has, bit numbers enum vks_key_type. */
uint64_t vks_algorithm_types(void);

/* The hash of a mechanism; VKS_HASH_NONE for those that have none. */
enum vks_hash vks_mechanism_hash(uint32_t mechanism);
uint32_t vks_hash_bytes(enum vks_hash hash);
const char *vks_hash_name(enum vks_hash hash);
const EVP_MD *vks_hash_md(enum vks_hash hash);
EVP_MAC *vks_hmac(void);
EVP_MAC *vks_cmac(void);
EVP_KDF *vks_hkdf(void);
/* NULL for a key length that the mode does not take. */
const EVP_CIPHER *vks_cipher(enum vks_cipher_mode mode, uint32_t key_bytes);

/* Digest of a message with the lane's own context. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int vks_hash_message(enum vks_lane lane, enum vks_hash hash, const uint8_t *message,
                                                         size_t message_bytes, uint8_t digest[VKS_HASH_BYTES_MAX]);

#endif
