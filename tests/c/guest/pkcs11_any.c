/* SPDX-License-Identifier: BSD-3-Clause */
#include "pkcs11_any.h"

#include <stdlib.h>
#include <string.h>

static uint64_t state;
static CK_BYTE data[4096];

uint32_t draw(uint32_t below)
{
    /* xorshift64*: the same calls for the same seed. */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 33) % below;
}

void any_begin(uint64_t seed)
{
    state = 2 * seed + 1;
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (CK_BYTE)draw(256);
}

/* As long as it says, on the heap, so that a sanitizer sees each byte too many. */
CK_BYTE *any_bytes(CK_ULONG *size)
{
    CK_BYTE *bytes;

    *size = draw(4) ? draw(80) : draw(sizeof(data));
    if (!draw(15))
        return NULL;
    bytes = malloc(*size ? *size : 1);
    if (bytes)
        memcpy(bytes, data, *size);
    return bytes;
}

CK_MECHANISM_TYPE any_mechanism_type(void)
{
    static const CK_MECHANISM_TYPE types[] = {
        CKM_ECDSA,
        CKM_ECDSA_SHA256,
        CKM_EDDSA,
        CKM_RSA_PKCS,
        CKM_SHA256_RSA_PKCS,
        CKM_RSA_PKCS_PSS,
        CKM_SHA256_RSA_PKCS_PSS,
        CKM_RSA_PKCS_OAEP,
        CKM_AES_GCM,
        CKM_AES_CBC,
        CKM_AES_CTR,
        CKM_AES_KEY_WRAP,
        CKM_AES_KEY_WRAP_KWP,
        CKM_AES_CMAC,
        CKM_AES_XTS,
        CKM_SHA256_HMAC,
        CKM_ECDH1_DERIVE,
        CKM_HKDF_DERIVE,
        CKM_ML_DSA,
        CKM_ML_KEM,
        CKM_GENERIC_SECRET_KEY_GEN,
        CKM_SHA256,
    };

    return types[draw(sizeof(types) / sizeof(types[0]))];
}

CK_MECHANISM *any_mechanism(void)
{
    static CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    static CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
    static CK_GCM_PARAMS gcm = {data, 12, 96, data, 9, 128};
    static CK_AES_CTR_PARAMS ctr = {128, {0}};
    static CK_ECDH1_DERIVE_PARAMS ecdh = {CKD_NULL, 0, NULL, 65, data};
    static CK_HKDF_PARAMS hkdf = {CK_TRUE, CK_TRUE, CKM_SHA256, CKF_HKDF_SALT_NULL, NULL, 0, 0, data, 4};
    static CK_MECHANISM mechanism;

    mechanism = (CK_MECHANISM){any_mechanism_type(), NULL, 0};
    switch (draw(5) ? mechanism.mechanism : any_mechanism_type()) {
    case CKM_RSA_PKCS_PSS:
    case CKM_SHA256_RSA_PKCS_PSS:
        mechanism.pParameter = &pss;
        mechanism.ulParameterLen = sizeof(pss);
        break;
    case CKM_RSA_PKCS_OAEP:
        mechanism.pParameter = &oaep;
        mechanism.ulParameterLen = sizeof(oaep);
        break;
    case CKM_AES_GCM:
        mechanism.pParameter = &gcm;
        mechanism.ulParameterLen = sizeof(gcm);
        break;
    case CKM_AES_CTR:
        mechanism.pParameter = &ctr;
        mechanism.ulParameterLen = sizeof(ctr);
        break;
    case CKM_AES_CBC:
    case CKM_AES_XTS:
        mechanism.pParameter = data;
        mechanism.ulParameterLen = 16;
        break;
    case CKM_ECDH1_DERIVE:
        mechanism.pParameter = &ecdh;
        mechanism.ulParameterLen = sizeof(ecdh);
        break;
    case CKM_HKDF_DERIVE:
        mechanism.pParameter = &hkdf;
        mechanism.ulParameterLen = sizeof(hkdf);
        break;
    default:
        break;
    }
    return draw(30) ? &mechanism : NULL;
}

CK_ULONG any_template(CK_ATTRIBUTE *attributes, uint32_t room)
{
    static const CK_ATTRIBUTE_TYPE types[] = {
        CKA_CLASS,           CKA_TOKEN,       CKA_PRIVATE,   CKA_LABEL,
        CKA_VALUE,           CKA_KEY_TYPE,    CKA_ID,        CKA_SIGN,
        CKA_SENSITIVE,       CKA_MODULUS,     CKA_EC_POINT,  CKA_VALUE_LEN,
        CKA_EC_PARAMS,       CKA_EXTRACTABLE, CKA_UNIQUE_ID, CKA_ALLOWED_MECHANISMS,
        CKA_PUBLIC_KEY_INFO, 0x80000001};
    static CK_ULONG numbers[8], length;
    CK_ULONG count = draw(room + 1);

    for (CK_ULONG i = 0; i < count; i++) {
        numbers[i] = draw(40);
        attributes[i].type = types[draw(sizeof(types) / sizeof(types[0]))];
        attributes[i].pValue = draw(2) ? (void *)&numbers[i] : data;
        length = draw(3) ? sizeof(CK_ULONG) : draw(64);
        attributes[i].ulValueLen = attributes[i].pValue == data ? length : draw(2) ? sizeof(CK_ULONG) : 1;
        if (!draw(8))
            attributes[i].pValue = NULL;
    }
    return count;
}

CK_GCM_MESSAGE_PARAMS *any_message(CK_ULONG *size)
{
    static CK_BYTE nonce[12], tag[16];
    static CK_GCM_MESSAGE_PARAMS message;

    message =
        (CK_GCM_MESSAGE_PARAMS){draw(9) ? nonce : NULL,         draw(9) ? 12 : draw(20), draw(9) ? 0 : draw(100),
                                draw(9) ? draw(5) : draw(1000), draw(9) ? tag : NULL,    draw(9) ? 128 : draw(200)};
    *size = draw(9) ? sizeof(message) : draw(sizeof(message));
    return draw(20) ? &message : NULL;
}
