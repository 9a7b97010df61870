/* SPDX-License-Identifier: Apache-2.0 */
/* The table of key types. Knows sizes and names; must not know key material. */
#include "key_kind.h"

#include <stddef.h>
#include <string.h>

#include "vmm_keystore.h"

/* RSA's SubjectPublicKeyInfo: 38 bytes of DER around modulus and a public exponent of up to 8 bytes, and some room. */
static const struct vks_key_kind kinds[] = {
    {VKS_KEY_TYPE_EC_P256, VKS_KEY_FAMILY_EC, "ec-p256", "prime256v1", 32, 91},
    {VKS_KEY_TYPE_EC_P384, VKS_KEY_FAMILY_EC, "ec-p384", "secp384r1", 48, 120},
    {VKS_KEY_TYPE_ED25519, VKS_KEY_FAMILY_ED25519, "ed25519", NULL, 32, 44},
    {VKS_KEY_TYPE_RSA_2048, VKS_KEY_FAMILY_RSA, "rsa-2048", NULL, 256, 256 + 48},
    {VKS_KEY_TYPE_RSA_3072, VKS_KEY_FAMILY_RSA, "rsa-3072", NULL, 384, 384 + 48},
    {VKS_KEY_TYPE_RSA_4096, VKS_KEY_FAMILY_RSA, "rsa-4096", NULL, 512, 512 + 48},
    {VKS_KEY_TYPE_AES_128, VKS_KEY_FAMILY_AES, "aes-128", NULL, 16, 0},
    {VKS_KEY_TYPE_AES_256, VKS_KEY_FAMILY_AES, "aes-256", NULL, 32, 0},
    {VKS_KEY_TYPE_HMAC_SHA256, VKS_KEY_FAMILY_HMAC, "hmac-sha256", NULL, 32, 0},
    {VKS_KEY_TYPE_HMAC_SHA384, VKS_KEY_FAMILY_HMAC, "hmac-sha384", NULL, 48, 0},
    {VKS_KEY_TYPE_HMAC_SHA512, VKS_KEY_FAMILY_HMAC, "hmac-sha512", NULL, 64, 0},
    {VKS_KEY_TYPE_CHACHA20_POLY1305, VKS_KEY_FAMILY_CHACHA20, "chacha20-poly1305", NULL, 32, 0},
    {VKS_KEY_TYPE_AES_128_XTS, VKS_KEY_FAMILY_XTS, "aes-128-xts", NULL, 32, 0},
    {VKS_KEY_TYPE_AES_256_XTS, VKS_KEY_FAMILY_XTS, "aes-256-xts", NULL, 64, 0},
    {VKS_KEY_TYPE_X25519, VKS_KEY_FAMILY_X25519, "x25519", NULL, 32, 44},
    {VKS_KEY_TYPE_ML_DSA_44, VKS_KEY_FAMILY_ML_DSA, "ml-dsa-44", "ML-DSA-44", 2420, 1312 + 22},
    {VKS_KEY_TYPE_ML_DSA_65, VKS_KEY_FAMILY_ML_DSA, "ml-dsa-65", "ML-DSA-65", 3309, 1952 + 22},
    {VKS_KEY_TYPE_ML_DSA_87, VKS_KEY_FAMILY_ML_DSA, "ml-dsa-87", "ML-DSA-87", 4627, 2592 + 22},
    {VKS_KEY_TYPE_ML_KEM_512, VKS_KEY_FAMILY_ML_KEM, "ml-kem-512", "ML-KEM-512", 768, 800 + 22},
    {VKS_KEY_TYPE_ML_KEM_768, VKS_KEY_FAMILY_ML_KEM, "ml-kem-768", "ML-KEM-768", 1088, 1184 + 22},
    {VKS_KEY_TYPE_ML_KEM_1024, VKS_KEY_FAMILY_ML_KEM, "ml-kem-1024", "ML-KEM-1024", 1568, 1568 + 22},
};

_Static_assert(sizeof(kinds) / sizeof(kinds[0]) == VKS_KEY_TYPE_COUNT - 1, "every type of the ABI has its line");

const struct vks_key_kind *vks_key_kind_find(uint32_t type)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (kinds[i].type == type)
            return &kinds[i];
    return NULL;
}

const struct vks_key_kind *vks_key_kind_named(const char *name)
{
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        if (strcmp(kinds[i].name, name) == 0)
            return &kinds[i];
    return NULL;
}

bool vks_key_kind_is_symmetric(const struct vks_key_kind *kind)
{
    return kind->public_bytes == 0;
}

const char *vks_key_kind_algorithm(const struct vks_key_kind *kind)
{
    static const char *const names[VKS_KEY_FAMILY_COUNT] = {
        [VKS_KEY_FAMILY_EC] = "EC",
        [VKS_KEY_FAMILY_ED25519] = "ED25519",
        [VKS_KEY_FAMILY_RSA] = "RSA",
        [VKS_KEY_FAMILY_X25519] = "X25519",
    };

    return vks_key_kind_seed_bytes(kind) ? kind->group : names[kind->family];
}

bool vks_key_kind_certifies(const struct vks_key_kind *kind)
{
    return kind->family == VKS_KEY_FAMILY_EC || kind->family == VKS_KEY_FAMILY_ED25519 ||
           kind->family == VKS_KEY_FAMILY_RSA;
}

uint32_t vks_key_kind_seed_bytes(const struct vks_key_kind *kind)
{
    if (kind->family == VKS_KEY_FAMILY_ML_DSA)
        return 32;
    return kind->family == VKS_KEY_FAMILY_ML_KEM ? 64 : 0;
}

bool vks_key_kind_fits_token(const struct vks_key_kind *kind)
{
    return kind->family == VKS_KEY_FAMILY_EC || kind->family == VKS_KEY_FAMILY_RSA;
}

uint32_t vks_key_kind_point_bytes(const struct vks_key_kind *kind)
{
    if (kind->family == VKS_KEY_FAMILY_EC)
        return 1 + 2 * kind->size_bytes;
    return kind->family == VKS_KEY_FAMILY_X25519 ? kind->size_bytes : 0;
}
