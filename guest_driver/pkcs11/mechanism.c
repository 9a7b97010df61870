/* SPDX-License-Identifier: BSD-3-Clause */
#include "mechanism.h"

#include "key_type.h"

#define VKS(name)  (UINT64_C(1) << VKS_MECHANISM_##name)
#define TYPE(name) KEY_TYPE_BIT(VKS_KEY_TYPE_##name)

#define EC_TYPES     (TYPE(EC_P256) | TYPE(EC_P384))
#define RSA_TYPES    (TYPE(RSA_2048) | TYPE(RSA_3072) | TYPE(RSA_4096))
#define AES_TYPES    (TYPE(AES_128) | TYPE(AES_256))
#define XTS_TYPES    (TYPE(AES_128_XTS) | TYPE(AES_256_XTS))
#define HMAC_TYPES   (TYPE(HMAC_SHA256) | TYPE(HMAC_SHA384) | TYPE(HMAC_SHA512))
#define ML_DSA_TYPES (TYPE(ML_DSA_44) | TYPE(ML_DSA_65) | TYPE(ML_DSA_87))
#define ML_KEM_TYPES (TYPE(ML_KEM_512) | TYPE(ML_KEM_768) | TYPE(ML_KEM_1024))

#define SIGNS    (CKF_SIGN | CKF_VERIFY)
#define CIPHERS  (CKF_ENCRYPT | CKF_DECRYPT | CKF_WRAP | CKF_UNWRAP)
#define OPENS    (CKF_DECRYPT | CKF_UNWRAP) /* the device chooses the IV, where the standard has the caller choose */
#define MESSAGES (CKF_MESSAGE_ENCRYPT | CKF_MESSAGE_DECRYPT)
#define CURVES   (CKF_EC_F_P | CKF_EC_OID | CKF_EC_UNCOMPRESS)

#define ECDSA_ANY  (VKS(ECDSA_SHA256) | VKS(ECDSA_SHA384) | VKS(ECDSA_SHA512))
#define PKCS1_ANY  (VKS(RSA_PKCS1_SHA256) | VKS(RSA_PKCS1_SHA384) | VKS(RSA_PKCS1_SHA512))
#define PSS_ANY    (VKS(RSA_PSS_SHA256) | VKS(RSA_PSS_SHA384) | VKS(RSA_PSS_SHA512))
#define OAEP_ANY   (VKS(RSA_OAEP_SHA1) | VKS(RSA_OAEP_SHA256) | VKS(RSA_OAEP_SHA384) | VKS(RSA_OAEP_SHA512))
#define GCM_ANY    (VKS(AES_GCM) | VKS(AES_GCM_OWN_NONCE))
#define CHACHA_ANY (VKS(CHACHA20_POLY1305) | VKS(CHACHA20_POLY1305_OWN_NONCE))
#define HKDF_ANY   (VKS(HKDF_SHA256) | VKS(HKDF_SHA384) | VKS(HKDF_SHA512))

static const struct mechanism mechanisms[] = {
    {CKM_ECDSA, FORM_ECDSA_DIGEST, ECDSA_ANY, EC_TYPES, SIGNS | CURVES},
    {CKM_ECDSA_SHA256, FORM_PLAIN, VKS(ECDSA_SHA256), EC_TYPES, SIGNS | CURVES},
    {CKM_ECDSA_SHA384, FORM_PLAIN, VKS(ECDSA_SHA384), EC_TYPES, SIGNS | CURVES},
    {CKM_ECDSA_SHA512, FORM_PLAIN, VKS(ECDSA_SHA512), EC_TYPES, SIGNS | CURVES},
    {CKM_EDDSA, FORM_EDDSA, VKS(ED25519), TYPE(ED25519), SIGNS | CURVES},
    {CKM_RSA_PKCS, FORM_RSA_INFO, PKCS1_ANY, RSA_TYPES, SIGNS},
    {CKM_SHA256_RSA_PKCS, FORM_PLAIN, VKS(RSA_PKCS1_SHA256), RSA_TYPES, SIGNS},
    {CKM_SHA384_RSA_PKCS, FORM_PLAIN, VKS(RSA_PKCS1_SHA384), RSA_TYPES, SIGNS},
    {CKM_SHA512_RSA_PKCS, FORM_PLAIN, VKS(RSA_PKCS1_SHA512), RSA_TYPES, SIGNS},
    {CKM_RSA_PKCS_PSS, FORM_PSS_DIGEST, PSS_ANY, RSA_TYPES, SIGNS},
    {CKM_SHA256_RSA_PKCS_PSS, FORM_PSS, VKS(RSA_PSS_SHA256), RSA_TYPES, SIGNS},
    {CKM_SHA384_RSA_PKCS_PSS, FORM_PSS, VKS(RSA_PSS_SHA384), RSA_TYPES, SIGNS},
    {CKM_SHA512_RSA_PKCS_PSS, FORM_PSS, VKS(RSA_PSS_SHA512), RSA_TYPES, SIGNS},
    {CKM_RSA_PKCS_OAEP, FORM_OAEP, OAEP_ANY, RSA_TYPES, CIPHERS},
    {CKM_AES_GCM, FORM_GCM, GCM_ANY, AES_TYPES, CIPHERS | MESSAGES},
    {CKM_AES_CBC, FORM_CBC, VKS(AES_CBC), AES_TYPES, OPENS},
    {CKM_AES_CTR, FORM_CTR, VKS(AES_CTR), AES_TYPES, OPENS},
    {CKM_AES_KEY_WRAP, FORM_KEY_WRAP, VKS(AES_KW), AES_TYPES, CIPHERS},
    {CKM_AES_KEY_WRAP_KWP, FORM_KEY_WRAP, VKS(AES_KWP), AES_TYPES, CIPHERS},
    {CKM_AES_CMAC, FORM_PLAIN, VKS(AES_CMAC), AES_TYPES, SIGNS},
    {CKM_AES_XTS, FORM_XTS, VKS(AES_XTS), XTS_TYPES, CKF_ENCRYPT | CKF_DECRYPT},
    {CKM_CHACHA20_POLY1305, FORM_CHACHA20, CHACHA_ANY, TYPE(CHACHA20_POLY1305), CIPHERS | MESSAGES},
    {CKM_SHA256_HMAC, FORM_PLAIN, VKS(HMAC_SHA256), TYPE(HMAC_SHA256), SIGNS},
    {CKM_SHA384_HMAC, FORM_PLAIN, VKS(HMAC_SHA384), TYPE(HMAC_SHA384), SIGNS},
    {CKM_SHA512_HMAC, FORM_PLAIN, VKS(HMAC_SHA512), TYPE(HMAC_SHA512), SIGNS},
    {CKM_ECDH1_DERIVE, FORM_ECDH, VKS(ECDH), EC_TYPES | TYPE(X25519), CKF_DERIVE | CURVES},
    {CKM_HKDF_DERIVE, FORM_HKDF, HKDF_ANY, HMAC_TYPES, CKF_DERIVE},
    {CKM_ML_DSA, FORM_ML_DSA, VKS(ML_DSA), ML_DSA_TYPES, SIGNS},
    {CKM_ML_KEM, FORM_ML_KEM, VKS(ML_KEM), ML_KEM_TYPES, CKF_DECAPSULATE},
    {CKM_EC_KEY_PAIR_GEN, FORM_GENERATE, ECDSA_ANY, EC_TYPES, CKF_GENERATE_KEY_PAIR | CURVES},
    {CKM_EC_EDWARDS_KEY_PAIR_GEN, FORM_GENERATE, VKS(ED25519), TYPE(ED25519), CKF_GENERATE_KEY_PAIR | CURVES},
    {CKM_ML_DSA_KEY_PAIR_GEN, FORM_GENERATE, VKS(ML_DSA), ML_DSA_TYPES, CKF_GENERATE_KEY_PAIR},
    {CKM_AES_KEY_GEN, FORM_GENERATE, GCM_ANY, AES_TYPES, CKF_GENERATE},
    {CKM_CHACHA20_KEY_GEN, FORM_GENERATE, CHACHA_ANY, TYPE(CHACHA20_POLY1305), CKF_GENERATE},
    {CKM_GENERIC_SECRET_KEY_GEN, FORM_GENERATE, 0, HMAC_TYPES, CKF_GENERATE},
};

#define COUNT (sizeof(mechanisms) / sizeof(mechanisms[0]))
_Static_assert(COUNT <= MECHANISMS_MAX, "room for all");

const struct mechanism *mechanism_at(size_t at)
{
    return at < COUNT ? &mechanisms[at] : NULL;
}

const struct mechanism *mechanism_find(CK_MECHANISM_TYPE type)
{
    for (size_t i = 0; i < COUNT; i++)
        if (mechanisms[i].type == type)
            return &mechanisms[i];
    return NULL;
}

static bool has(uint64_t mask, uint32_t bit)
{
    return mask >> bit & 1;
}

/* Operations by a mask of the device's or a grant's; those on session secrets are nobody's to grant. */
static CK_FLAGS flags_of_ops(uint64_t op_mask)
{
    CK_FLAGS flags = 0;

    if (has(op_mask, VKS_OP_SIGN) || has(op_mask, VKS_OP_MAC))
        flags |= CKF_SIGN;
    if (has(op_mask, VKS_OP_VERIFY) || has(op_mask, VKS_OP_MAC_VERIFY))
        flags |= CKF_VERIFY;
    if (has(op_mask, VKS_OP_ENCRYPT))
        flags |= CKF_ENCRYPT | CKF_WRAP | CKF_MESSAGE_ENCRYPT;
    if (has(op_mask, VKS_OP_DECRYPT))
        flags |= CKF_DECRYPT | CKF_UNWRAP | CKF_MESSAGE_DECRYPT;
    if (has(op_mask, VKS_OP_DERIVE))
        flags |= CKF_DERIVE;
    if (has(op_mask, VKS_OP_DECAPSULATE))
        flags |= CKF_DECAPSULATE;
    return flags;
}

bool mechanism_is_among(const struct mechanism *mechanism, uint64_t vks_mask)
{
    uint64_t both = mechanism->vks_mask & vks_mask;

    /* The caller's DigestInfo says of which hash it is when it is too late to say no. */
    return mechanism->form == FORM_RSA_INFO ? both == mechanism->vks_mask : both != 0;
}

CK_FLAGS mechanism_flags(const struct mechanism *mechanism, const struct vks_device_info *info)
{
    CK_FLAGS allowed = flags_of_ops(info->op_mask), flags;

    if (mechanism->vks_mask && !mechanism_is_among(mechanism, info->mechanism_mask))
        return 0;
    if (has(info->op_mask, VKS_OP_GENERATE))
        allowed |= CKF_GENERATE | CKF_GENERATE_KEY_PAIR;
    /* Session secrets are drawn from random. */
    if (has(info->op_mask, VKS_OP_RANDOM) && mechanism->type == CKM_GENERIC_SECRET_KEY_GEN)
        allowed |= CKF_GENERATE;
    flags = mechanism->flags & allowed;
    if (!flags)
        return 0;
    /* What is in a DigestInfo is found out here: the device does not know of such a thing. */
    return flags | (mechanism->flags & CURVES) | (mechanism->form == FORM_RSA_INFO ? 0 : CKF_HW);
}

void mechanism_info(const struct mechanism *mechanism, CK_MECHANISM_INFO *info)
{
    info->ulMinKeySize = ~0UL;
    info->ulMaxKeySize = 0;
    for (uint32_t type = 1; type < VKS_KEY_TYPE_COUNT; type++) {
        const struct key_type *key_type = key_type_find(type);

        if (!key_type || !(mechanism->key_type_mask & KEY_TYPE_BIT(type)))
            continue;
        if (key_type->bits < info->ulMinKeySize)
            info->ulMinKeySize = key_type->bits;
        if (key_type->bits > info->ulMaxKeySize)
            info->ulMaxKeySize = key_type->bits;
    }
}

CK_FLAGS mechanism_key_flags(const struct mechanism *mechanism, const struct object *object)
{
    const struct key_type *key_type = key_type_find(object->key.type);
    CK_FLAGS flags;

    if (object->kind == OBJECT_SECRET || !key_type || mechanism->form == FORM_GENERATE ||
        !(mechanism->key_type_mask & KEY_TYPE_BIT(object->key.type)) ||
        !mechanism_is_among(mechanism, object->key.mechanism_mask))
        return 0;
    flags = mechanism->flags & flags_of_ops(object->key.op_mask);
    if (key_type->is_pair)
        flags &= object->kind == OBJECT_PUBLIC ? CKF_VERIFY | CKF_ENCRYPT | CKF_WRAP
                                               : CKF_SIGN | CKF_DECRYPT | CKF_UNWRAP | CKF_DERIVE | CKF_DECAPSULATE;
    return flags;
}
