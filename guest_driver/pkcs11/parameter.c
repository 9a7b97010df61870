/* SPDX-License-Identifier: BSD-3-Clause */
#include "parameter.h"

#include <string.h>

#define VKS(name) (UINT64_C(1) << VKS_MECHANISM_##name)

static const struct {
    CK_MECHANISM_TYPE hash;
    CK_ULONG mgf;
    size_t bytes;
    uint64_t vks_mask;
} hashes[] = {
    {CKM_SHA_1, CKG_MGF1_SHA1, 20, VKS(RSA_OAEP_SHA1)},
    {CKM_SHA256, CKG_MGF1_SHA256, 32,
     VKS(ECDSA_SHA256) | VKS(RSA_PKCS1_SHA256) | VKS(RSA_PSS_SHA256) | VKS(RSA_OAEP_SHA256) | VKS(HKDF_SHA256)},
    {CKM_SHA384, CKG_MGF1_SHA384, 48,
     VKS(ECDSA_SHA384) | VKS(RSA_PKCS1_SHA384) | VKS(RSA_PSS_SHA384) | VKS(RSA_OAEP_SHA384) | VKS(HKDF_SHA384)},
    {CKM_SHA512, CKG_MGF1_SHA512, 64,
     VKS(ECDSA_SHA512) | VKS(RSA_PKCS1_SHA512) | VKS(RSA_PSS_SHA512) | VKS(RSA_OAEP_SHA512) | VKS(HKDF_SHA512)},
};
#define HASHES (sizeof(hashes) / sizeof(hashes[0]))

/* The only mechanism of a mask; 0: there are several, or none. */
static uint32_t only_of(uint64_t mask)
{
    return mask && !(mask & (mask - 1)) ? (uint32_t)__builtin_ctzll(mask) : 0;
}

uint32_t parameter_by_hash(uint64_t vks_mask, CK_MECHANISM_TYPE hash)
{
    for (size_t i = 0; i < HASHES; i++)
        if (hashes[i].hash == hash)
            return only_of(hashes[i].vks_mask & vks_mask);
    return 0;
}

size_t parameter_digest_bytes(uint32_t vks)
{
    for (size_t i = 0; i < HASHES; i++)
        if (hashes[i].vks_mask >> vks & 1)
            return hashes[i].bytes;
    return 0;
}

CK_RV parameter_granted(const struct object *key, uint32_t vks)
{
    return key->key.mechanism_mask >> vks & 1 ? CKR_OK : CKR_MECHANISM_INVALID;
}

static bool is_empty(const CK_MECHANISM *given)
{
    return given->ulParameterLen == 0;
}

/* Whether there is a structure of @size; other sizes are other structures. */
static bool has_size(const CK_MECHANISM *given, size_t size)
{
    return given->pParameter && given->ulParameterLen == size;
}

/* Hash, MGF1 with the same hash; of one of @vks_mask. */
static CK_RV take_hash(CK_MECHANISM_TYPE hash, CK_ULONG mgf, uint64_t vks_mask, struct parameter *parameter)
{
    for (size_t i = 0; i < HASHES; i++)
        if (hashes[i].hash == hash && hashes[i].mgf == mgf)
            parameter->vks = only_of(hashes[i].vks_mask & vks_mask);
    return parameter->vks ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

static CK_RV read_pss(const struct mechanism *mechanism, const CK_MECHANISM *given, struct parameter *parameter)
{
    CK_RSA_PKCS_PSS_PARAMS pss;
    CK_RV rv;

    if (!has_size(given, sizeof(pss)))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&pss, given->pParameter, sizeof(pss));
    rv = take_hash(pss.hashAlg, pss.mgf, mechanism->vks_mask, parameter);
    /* The device's salt is as long as the digest. */
    if (rv == CKR_OK && pss.sLen != parameter_digest_bytes(parameter->vks))
        rv = CKR_MECHANISM_PARAM_INVALID;
    return rv;
}

static CK_RV take_extra(const void *data, CK_ULONG size, size_t size_max, struct parameter *parameter)
{
    CK_RV rv;

    if (size && !data)
        return CKR_MECHANISM_PARAM_INVALID;
    rv = buffer_append(&parameter->extra, data, size, size_max);
    return rv == CKR_DATA_LEN_RANGE ? CKR_MECHANISM_PARAM_INVALID : rv;
}

static CK_RV read_oaep(const struct mechanism *mechanism, const CK_MECHANISM *given, struct parameter *parameter)
{
    CK_RSA_PKCS_OAEP_PARAMS oaep;
    CK_RV rv;

    if (!has_size(given, sizeof(oaep)))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&oaep, given->pParameter, sizeof(oaep));
    /* Source 0, with nothing behind it, is what some callers say for "no label". */
    if (oaep.source != CKZ_DATA_SPECIFIED && (oaep.source || oaep.ulSourceDataLen))
        return CKR_MECHANISM_PARAM_INVALID;
    rv = take_hash(oaep.hashAlg, oaep.mgf, mechanism->vks_mask, parameter);
    return rv == CKR_OK ? take_extra(oaep.pSourceData, oaep.ulSourceDataLen, VKS_PARAMETER_BYTES_MAX, parameter) : rv;
}

static CK_RV take_nonce(const void *nonce, CK_ULONG size, size_t wanted, struct parameter *parameter)
{
    if (!nonce || size != wanted)
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(parameter->nonce, nonce, wanted);
    parameter->nonce_size = wanted;
    return CKR_OK;
}

/* Encrypting with the caller's nonce is a mechanism of its own; decrypting is the same for both. */
static uint32_t aead(const struct object *key, uint32_t own_nonce, uint32_t by_device, bool protects)
{
    return protects || !(key->key.mechanism_mask >> by_device & 1) ? own_nonce : by_device;
}

static CK_RV read_gcm(const CK_MECHANISM *given, const struct object *key, bool protects, struct parameter *parameter)
{
    CK_GCM_PARAMS gcm;
    CK_RV rv;

    if (!has_size(given, sizeof(gcm)))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&gcm, given->pParameter, sizeof(gcm));
    if (gcm.ulTagBits != 8 * PARAMETER_TAG_BYTES)
        return CKR_MECHANISM_PARAM_INVALID;
    parameter->vks = aead(key, VKS_MECHANISM_AES_GCM_OWN_NONCE, VKS_MECHANISM_AES_GCM, protects);
    rv = take_nonce(gcm.pIv, gcm.ulIvLen, PARAMETER_NONCE_BYTES, parameter);
    return rv == CKR_OK ? take_extra(gcm.pAAD, gcm.ulAADLen, VKS_AAD_BYTES_MAX, parameter) : rv;
}

static CK_RV read_chacha20(const CK_MECHANISM *given, const struct object *key, bool protects,
                           struct parameter *parameter)
{
    CK_SALSA20_CHACHA20_POLY1305_PARAMS chacha;
    CK_RV rv;

    if (!has_size(given, sizeof(chacha)))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&chacha, given->pParameter, sizeof(chacha));
    parameter->vks = aead(key, VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE, VKS_MECHANISM_CHACHA20_POLY1305, protects);
    rv = take_nonce(chacha.pNonce, chacha.ulNonceLen, PARAMETER_NONCE_BYTES, parameter);
    return rv == CKR_OK ? take_extra(chacha.pAAD, chacha.ulAADLen, VKS_AAD_BYTES_MAX, parameter) : rv;
}

static CK_RV read_ctr(const CK_MECHANISM *given, struct parameter *parameter)
{
    CK_AES_CTR_PARAMS ctr;

    if (!has_size(given, sizeof(ctr)))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&ctr, given->pParameter, sizeof(ctr));
    /* The device counts with the whole block. */
    if (ctr.ulCounterBits != 8 * sizeof(ctr.cb))
        return CKR_MECHANISM_PARAM_INVALID;
    return take_nonce(ctr.cb, sizeof(ctr.cb), sizeof(ctr.cb), parameter);
}

/* Ed25519 itself, neither with a context nor of a hash (RFC 8032, 5.1). */
static CK_RV read_eddsa(const CK_MECHANISM *given)
{
    CK_EDDSA_PARAMS eddsa;

    if (is_empty(given))
        return CKR_OK;
    if (!has_size(given, sizeof(eddsa)))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&eddsa, given->pParameter, sizeof(eddsa));
    return eddsa.phFlag || eddsa.ulContextDataLen ? CKR_MECHANISM_PARAM_INVALID : CKR_OK;
}

/* Hedged, with an empty context (MUST-43). */
static CK_RV read_ml_dsa(const CK_MECHANISM *given)
{
    CK_SIGN_ADDITIONAL_CONTEXT context;

    if (is_empty(given))
        return CKR_OK;
    if (!has_size(given, sizeof(context)))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&context, given->pParameter, sizeof(context));
    return context.hedgeVariant > CKH_HEDGE_REQUIRED || context.ulContextLen ? CKR_MECHANISM_PARAM_INVALID : CKR_OK;
}

static CK_RV read_form(const struct mechanism *mechanism, const CK_MECHANISM *given, const struct object *key,
                       bool protects, struct parameter *parameter)
{
    switch (mechanism->form) {
    case FORM_PSS_DIGEST:
    case FORM_PSS:
        return read_pss(mechanism, given, parameter);
    case FORM_EDDSA:
        return read_eddsa(given);
    case FORM_ML_DSA:
        return read_ml_dsa(given);
    case FORM_OAEP:
        return read_oaep(mechanism, given, parameter);
    case FORM_GCM:
        return read_gcm(given, key, protects, parameter);
    case FORM_CHACHA20:
        return read_chacha20(given, key, protects, parameter);
    case FORM_CBC:
    case FORM_XTS:
        return take_nonce(given->pParameter, given->ulParameterLen, PARAMETER_BLOCK_BYTES, parameter);
    case FORM_CTR:
        return read_ctr(given, parameter);
    case FORM_PLAIN:
    case FORM_ECDSA_DIGEST:
    case FORM_RSA_INFO:
    case FORM_KEY_WRAP:
    case FORM_ECDH:
    case FORM_HKDF:
    case FORM_ML_KEM:
    case FORM_GENERATE:
    default:
        return is_empty(given) ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
    }
}

CK_RV parameter_read(const struct mechanism *mechanism, const CK_MECHANISM *given, const struct object *key,
                     bool protects, struct parameter *parameter)
{
    CK_RV rv;

    *parameter = (struct parameter){
        .vks = only_of(mechanism->vks_mask),
        .is_digest = mechanism->form == FORM_ECDSA_DIGEST || mechanism->form == FORM_RSA_INFO ||
                     mechanism->form == FORM_PSS_DIGEST,
    };
    rv = read_form(mechanism, given, key, protects, parameter);
    if (rv == CKR_OK && parameter->vks)
        rv = parameter_granted(key, parameter->vks);
    if (rv != CKR_OK)
        parameter_clear(parameter);
    return rv;
}

void parameter_clear(struct parameter *parameter)
{
    buffer_clear(&parameter->extra);
    *parameter = (struct parameter){0};
}
