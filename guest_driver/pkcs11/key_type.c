/* SPDX-License-Identifier: BSD-3-Clause */
#include "key_type.h"

#include <string.h>

#include "der.h"

/* RFC 5480: prime256v1, secp384r1. RFC 8410: Ed25519, X25519. */
#define CURVE_P256    {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07}, 10
#define CURVE_P384    {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22}, 7
#define CURVE_ED25519 {0x06, 0x03, 0x2b, 0x65, 0x70}, 5
#define CURVE_X25519  {0x06, 0x03, 0x2b, 0x65, 0x6e}, 5
#define NO_CURVE      {0}, 0

static const struct key_type key_types[VKS_KEY_TYPE_COUNT] = {
    [VKS_KEY_TYPE_EC_P256] = {CKK_EC, true, 256, 64, 0, 0, CURVE_P256},
    [VKS_KEY_TYPE_EC_P384] = {CKK_EC, true, 384, 96, 0, 0, CURVE_P384},
    [VKS_KEY_TYPE_ED25519] = {CKK_EC_EDWARDS, true, 255, 64, 0, 0, CURVE_ED25519},
    [VKS_KEY_TYPE_X25519] = {CKK_EC_MONTGOMERY, true, 255, 0, 0, 0, CURVE_X25519},
    [VKS_KEY_TYPE_RSA_2048] = {CKK_RSA, true, 2048, 256, 0, 0, NO_CURVE},
    [VKS_KEY_TYPE_RSA_3072] = {CKK_RSA, true, 3072, 384, 0, 0, NO_CURVE},
    [VKS_KEY_TYPE_RSA_4096] = {CKK_RSA, true, 4096, 512, 0, 0, NO_CURVE},
    [VKS_KEY_TYPE_AES_128] = {CKK_AES, false, 16, 16, 16, 0, NO_CURVE},
    [VKS_KEY_TYPE_AES_256] = {CKK_AES, false, 32, 16, 32, 0, NO_CURVE},
    [VKS_KEY_TYPE_HMAC_SHA256] = {CKK_SHA256_HMAC, false, 32, 32, 32, 0, NO_CURVE},
    [VKS_KEY_TYPE_HMAC_SHA384] = {CKK_SHA384_HMAC, false, 48, 48, 48, 0, NO_CURVE},
    [VKS_KEY_TYPE_HMAC_SHA512] = {CKK_SHA512_HMAC, false, 64, 64, 64, 0, NO_CURVE},
    [VKS_KEY_TYPE_CHACHA20_POLY1305] = {CKK_CHACHA20, false, 32, 0, 32, 0, NO_CURVE},
    [VKS_KEY_TYPE_AES_128_XTS] = {CKK_AES_XTS, false, 32, 0, 32, 0, NO_CURVE},
    [VKS_KEY_TYPE_AES_256_XTS] = {CKK_AES_XTS, false, 64, 0, 64, 0, NO_CURVE},
    [VKS_KEY_TYPE_ML_DSA_44] = {CKK_ML_DSA, true, 1312, 2420, 0, CKP_ML_DSA_44, NO_CURVE},
    [VKS_KEY_TYPE_ML_DSA_65] = {CKK_ML_DSA, true, 1952, 3309, 0, CKP_ML_DSA_65, NO_CURVE},
    [VKS_KEY_TYPE_ML_DSA_87] = {CKK_ML_DSA, true, 2592, 4627, 0, CKP_ML_DSA_87, NO_CURVE},
    [VKS_KEY_TYPE_ML_KEM_512] = {CKK_ML_KEM, true, 800, 0, 0, CKP_ML_KEM_512, NO_CURVE},
    [VKS_KEY_TYPE_ML_KEM_768] = {CKK_ML_KEM, true, 1184, 0, 0, CKP_ML_KEM_768, NO_CURVE},
    [VKS_KEY_TYPE_ML_KEM_1024] = {CKK_ML_KEM, true, 1568, 0, 0, CKP_ML_KEM_1024, NO_CURVE},
};

const struct key_type *key_type_find(uint32_t type)
{
    return type > 0 && type < VKS_KEY_TYPE_COUNT && key_types[type].bits ? &key_types[type] : NULL;
}

uint32_t key_type_by_curve(CK_KEY_TYPE ckk, const void *parameters, size_t size)
{
    for (uint32_t type = 1; type < VKS_KEY_TYPE_COUNT; type++)
        if (key_types[type].ckk == ckk && size && key_types[type].curve_size == size &&
            memcmp(key_types[type].curve, parameters, size) == 0)
            return type;
    return 0;
}

uint32_t key_type_by_parameter_set(CK_KEY_TYPE ckk, CK_ULONG parameter_set)
{
    for (uint32_t type = 1; type < VKS_KEY_TYPE_COUNT; type++)
        if (key_types[type].ckk == ckk && parameter_set && key_types[type].parameter_set == parameter_set)
            return type;
    return 0;
}

uint32_t key_type_by_value_bytes(CK_KEY_TYPE ckk, CK_ULONG bytes)
{
    for (uint32_t type = 1; type < VKS_KEY_TYPE_COUNT; type++)
        if (!key_types[type].is_pair && key_types[type].ckk == ckk && key_types[type].value_bytes == bytes)
            return type;
    return 0;
}

/* An AlgorithmIdentifier ends with the curve (RFC 5480, 2.1.1), or is nothing else (RFC 8410, 3). */
static bool has_curve(const struct key_type *key_type, struct vks_bytes algorithm)
{
    return key_type->curve_size && algorithm.size >= key_type->curve_size &&
           memcmp((const uint8_t *)algorithm.data + algorithm.size - key_type->curve_size, key_type->curve,
                  key_type->curve_size) == 0;
}

uint32_t key_type_of_public_key(struct vks_bytes der)
{
    struct der_public_key public_key;
    struct der_rsa_key rsa = {0};
    struct vks_bytes outer, algorithm;
    bool is_rsa;

    if (!der_public_key_read(der, &public_key) || !der_take(&der, DER_SEQUENCE, &outer) ||
        !der_take(&outer, DER_SEQUENCE, &algorithm))
        return 0;
    is_rsa = der_rsa_key_read(public_key.key, &rsa);
    for (uint32_t type = 1; type < VKS_KEY_TYPE_COUNT; type++) {
        const struct key_type *key_type = &key_types[type];

        if (has_curve(key_type, algorithm) ||
            (key_type->ckk == CKK_RSA && is_rsa && rsa.modulus.size * 8 == key_type->bits) ||
            (key_type->parameter_set && public_key.key.size == key_type->bits))
            return type;
    }
    return 0;
}
