/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Secrets that the host gives away, where a grant says so, as session secrets: key agreement and HKDF (PKCS#11 v3.0,
 * 5.18.5; mechanisms 2.3.12 and 2.43), ML-KEM (v3.2, 5.18.9).
 */
#define _GNU_SOURCE /* explicit_bzero */
#include <string.h>

#include "der.h"
#include "key_type.h"
#include "session.h"
#include "status.h"
#include "template.h"

/* The caller's pointers, with the peer taken out of an OCTET STRING. */
struct derivation {
    struct vks_request request;
    size_t secret_size;
};

static CK_RV read_ecdh(const CK_MECHANISM *given, const struct object *key, const struct template *template,
                       struct derivation *derivation)
{
    size_t field_size = (key_type_find(key->key.type)->bits + 7) / 8;
    size_t peer_size = key->key.type == VKS_KEY_TYPE_X25519 ? field_size : 2 * field_size + 1;
    CK_ECDH1_DERIVE_PARAMS ecdh;
    struct vks_bytes peer;

    if (!given->pParameter || given->ulParameterLen != sizeof(ecdh))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&ecdh, given->pParameter, sizeof(ecdh));
    if (ecdh.kdf != CKD_NULL || ecdh.ulSharedDataLen || !ecdh.pPublicData)
        return CKR_MECHANISM_PARAM_INVALID;
    peer = der_octet_string_or_raw((struct vks_bytes){ecdh.pPublicData, ecdh.ulPublicDataLen}, peer_size);
    if (peer.size != peer_size)
        return CKR_MECHANISM_PARAM_INVALID;
    if (template->value_bytes > field_size)
        return CKR_KEY_SIZE_RANGE;
    derivation->request.use.mechanism = VKS_MECHANISM_ECDH;
    derivation->request.parameter = peer;
    derivation->secret_size = field_size;
    return CKR_OK;
}

static CK_RV read_hkdf(const CK_MECHANISM *given, const struct mechanism *mechanism, const struct template *template,
                       struct derivation *derivation)
{
    CK_HKDF_PARAMS hkdf;

    if (!given->pParameter || given->ulParameterLen != sizeof(hkdf))
        return CKR_MECHANISM_PARAM_INVALID;
    memcpy(&hkdf, given->pParameter, sizeof(hkdf));
    if (!hkdf.bExtract || !hkdf.bExpand || (hkdf.ulInfoLen && !hkdf.pInfo) || hkdf.ulInfoLen > VKS_SECRET_BYTES_MAX)
        return CKR_MECHANISM_PARAM_INVALID;
    if (hkdf.ulSaltType == CKF_HKDF_SALT_DATA) {
        if ((hkdf.ulSaltLen && !hkdf.pSalt) || hkdf.ulSaltLen > VKS_SECRET_BYTES_MAX)
            return CKR_MECHANISM_PARAM_INVALID;
        derivation->request.aad = (struct vks_bytes){hkdf.pSalt, hkdf.ulSaltLen};
    } else if (hkdf.ulSaltType != CKF_HKDF_SALT_NULL) {
        return CKR_MECHANISM_PARAM_INVALID;
    }
    if (!template->value_bytes)
        return CKR_TEMPLATE_INCOMPLETE;
    if (template->value_bytes > VKS_SECRET_BYTES_MAX)
        return CKR_KEY_SIZE_RANGE;
    derivation->request.use.mechanism = parameter_by_hash(mechanism->vks_mask, hkdf.prfHashMechanism);
    derivation->request.input = (struct vks_bytes){hkdf.pInfo, hkdf.ulInfoLen};
    derivation->secret_size = template->value_bytes;
    return derivation->request.use.mechanism ? CKR_OK : CKR_MECHANISM_PARAM_INVALID;
}

/* Sends it; of a shared secret that is too long the first bytes go (v3.0, 2.3.12). */
static CK_RV run(struct session *session, const struct object *key, struct derivation *derivation,
                 const struct template *template, CK_OBJECT_HANDLE *handle)
{
    uint8_t secret[VKS_SECRET_BYTES_MAX];
    size_t wanted = template->value_bytes ? template->value_bytes : derivation->secret_size;
    CK_RV rv = secret_check(template, wanted);

    if (rv != CKR_OK)
        return rv;
    derivation->request.output = secret;
    derivation->request.output_size = derivation->secret_size;
    rv = status_rv(key_submit(session->token, key, &derivation->request), STATUS_DERIVE);
    if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && derivation->request.output_written != derivation->secret_size))
        rv = CKR_DEVICE_ERROR;
    if (rv == CKR_OK)
        rv = secret_make(session, template, (struct vks_bytes){secret + derivation->secret_size - wanted, wanted},
                         handle);
    explicit_bzero(secret, sizeof(secret));
    return rv;
}

static CK_RV derive(struct session *session, const CK_MECHANISM *given, CK_OBJECT_HANDLE base,
                    const CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *handle)
{
    struct derivation derivation = {.request = {.op = VKS_OP_DERIVE}};
    struct template template = {0};
    const struct mechanism *mechanism;
    struct object key;
    CK_RV rv;

    if (!given || !handle)
        return CKR_ARGUMENTS_BAD;
    mechanism = mechanism_find(given->mechanism);
    if (!mechanism)
        return CKR_MECHANISM_INVALID;
    rv = operation_key(session->token, mechanism, CKF_DERIVE, base, &key);
    if (rv == CKR_OK)
        rv = template_read(attributes, count, &template);
    if (rv == CKR_OK && template.value.size)
        rv = CKR_TEMPLATE_INCONSISTENT;
    if (rv == CKR_OK)
        rv = mechanism->form == FORM_ECDH ? read_ecdh(given, &key, &template, &derivation)
                                          : read_hkdf(given, mechanism, &template, &derivation);
    if (rv == CKR_OK)
        rv = parameter_granted(&key, derivation.request.use.mechanism);
    return rv == CKR_OK ? run(session, &key, &derivation, &template, handle) : rv;
}

CK_RV C_DeriveKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE base, CK_ATTRIBUTE *attributes,
                  CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, derive(session, mechanism, base, attributes, count, key)) : rv;
}

static CK_RV decapsulate(struct session *session, const CK_MECHANISM *given, CK_OBJECT_HANDLE private_key,
                         const CK_ATTRIBUTE *attributes, CK_ULONG count, struct vks_bytes ciphertext,
                         CK_OBJECT_HANDLE *handle)
{
    struct derivation derivation = {
        .request = {.op = VKS_OP_DECAPSULATE, .use.mechanism = VKS_MECHANISM_ML_KEM, .input = ciphertext},
        .secret_size = VKS_SHARED_BYTES,
    };
    struct template template = {0};
    const struct mechanism *mechanism;
    struct object key;
    CK_RV rv;

    if (!given || !handle || !ciphertext.data)
        return CKR_ARGUMENTS_BAD;
    mechanism = mechanism_find(given->mechanism);
    if (!mechanism)
        return CKR_MECHANISM_INVALID;
    rv = operation_key(session->token, mechanism, CKF_DECAPSULATE, private_key, &key);
    if (rv == CKR_OK && given->ulParameterLen)
        rv = CKR_MECHANISM_PARAM_INVALID;
    if (rv == CKR_OK)
        rv = template_read(attributes, count, &template);
    if (rv == CKR_OK && (template.value.size || (template.value_bytes && template.value_bytes != VKS_SHARED_BYTES)))
        rv = CKR_TEMPLATE_INCONSISTENT;
    if (rv == CKR_OK && ciphertext.size > VKS_INPUT_BYTES_MAX)
        rv = CKR_ENCRYPTED_DATA_LEN_RANGE;
    if (rv == CKR_OK)
        rv = run(session, &key, &derivation, &template, handle);
    return rv == CKR_MECHANISM_PARAM_INVALID && !given->ulParameterLen ? CKR_ENCRYPTED_DATA_LEN_RANGE : rv;
}

CK_RV C_DecapsulateKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE private_key,
                       CK_ATTRIBUTE *attributes, CK_ULONG count, CK_BYTE *ciphertext, CK_ULONG ciphertext_size,
                       CK_OBJECT_HANDLE *key)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    return session_leave(session, decapsulate(session, mechanism, private_key, attributes, count,
                                              (struct vks_bytes){ciphertext, ciphertext_size}, key));
}
