/* SPDX-License-Identifier: Apache-2.0 */
/* Key types: sizes, and which libcrypto key each one is. */
#ifndef VKS_KEY_KIND_H
#define VKS_KEY_KIND_H

#include <stdbool.h>
#include <stdint.h>

enum vks_key_family {
    VKS_KEY_FAMILY_EC = 1,
    VKS_KEY_FAMILY_ED25519 = 2,
    VKS_KEY_FAMILY_RSA = 3,
    VKS_KEY_FAMILY_AES = 4,
    VKS_KEY_FAMILY_HMAC = 5,
    VKS_KEY_FAMILY_CHACHA20 = 6,
    VKS_KEY_FAMILY_XTS = 7,
    VKS_KEY_FAMILY_X25519 = 8,
    VKS_KEY_FAMILY_ML_DSA = 9,
    VKS_KEY_FAMILY_ML_KEM = 10,
    VKS_KEY_FAMILY_COUNT = 11,
};

struct vks_key_kind {
    uint32_t type; /* enum vks_key_type of the ABI */
    enum vks_key_family family;
    const char *name;      /* as users write it */
    const char *group;     /* libcrypto's name of the curve (EC) or of the parameter set (ML-DSA, ML-KEM) */
    uint32_t size_bytes;   /* EC: of the order; X25519: of a public key; RSA: of the modulus; ML-DSA: of a signature;
                              ML-KEM: of a ciphertext; symmetric: of a key, HMAC: of a generated one */
    uint32_t public_bytes; /* SubjectPublicKeyInfo at most; 0 for symmetric types */
};

/* Length of imported HMAC keys: 112 bits is SP 800-131A's floor; longer than a hash block gains nothing. */
enum vks_hmac_key_limit {
    VKS_HMAC_KEY_BYTES_MIN = 14,
    VKS_HMAC_KEY_BYTES_MAX = 1024,
};

/* NULL for a type that there is not. */
const struct vks_key_kind *vks_key_kind_find(uint32_t type);
const struct vks_key_kind *vks_key_kind_named(const char *name);
bool vks_key_kind_is_symmetric(const struct vks_key_kind *kind);
/* What libcrypto calls key pairs of this kind; NULL for symmetric types. */
const char *vks_key_kind_algorithm(const struct vks_key_kind *kind);
/* Whether its private half may lie in a PKCS#11 token that makes the signatures: EC and RSA. */
bool vks_key_kind_fits_token(const struct vks_key_kind *kind);
/* Whether certificates are made with it. */
bool vks_key_kind_certifies(const struct vks_key_kind *kind);
/* The seed that a key pair is made of: xi of FIPS 204, d || z of FIPS 203; 0 for types that have none. */
uint32_t vks_key_kind_seed_bytes(const struct vks_key_kind *kind);
/* A public key by itself: SEC 1's uncompressed point (2.3.3) or RFC 7748's 32 bytes; 0 for types that do not agree. */
uint32_t vks_key_kind_point_bytes(const struct vks_key_kind *kind);

#endif
