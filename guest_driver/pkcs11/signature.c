/* SPDX-License-Identifier: BSD-3-Clause */
#include "signature.h"

#include <string.h>

#include "key_type.h"

/* DigestInfo in front of the digest: RFC 8017, 9.2, note 1. */
static const struct {
    CK_MECHANISM_TYPE hash;
    size_t digest_size;
    uint8_t front[19];
} digest_infos[] = {
    {CKM_SHA256,
     32,
     {0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x01, 0x05, 0x00, 0x04,
      0x20}},
    {CKM_SHA384,
     48,
     {0x30, 0x41, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x02, 0x05, 0x00, 0x04,
      0x30}},
    {CKM_SHA512,
     64,
     {0x30, 0x51, 0x30, 0x0d, 0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02, 0x03, 0x05, 0x00, 0x04,
      0x40}},
};

size_t signature_bytes(const struct object *key)
{
    return key_type_find(key->key.type)->signature_bytes;
}

bool signature_is_mac(const struct object *key)
{
    return object_class(key) == CKO_SECRET_KEY;
}

/* The hash is the one whose digests are so long. */
static CK_RV take_digest(const struct mechanism *mechanism, size_t size, uint32_t *vks)
{
    CK_MECHANISM_TYPE hash = size == 32 ? CKM_SHA256 : size == 48 ? CKM_SHA384 : CKM_SHA512;

    *vks = parameter_by_hash(mechanism->vks_mask, hash);
    return parameter_digest_bytes(*vks) == size ? CKR_OK : CKR_DATA_LEN_RANGE;
}

static CK_RV take_digest_info(const struct mechanism *mechanism, struct vks_bytes *data, uint32_t *vks)
{
    for (size_t i = 0; i < sizeof(digest_infos) / sizeof(digest_infos[0]); i++) {
        size_t front = sizeof(digest_infos[i].front);

        if (data->size != front + digest_infos[i].digest_size || memcmp(data->data, digest_infos[i].front, front) != 0)
            continue;
        *vks = parameter_by_hash(mechanism->vks_mask, digest_infos[i].hash);
        *data = (struct vks_bytes){(const uint8_t *)data->data + front, digest_infos[i].digest_size};
        return CKR_OK;
    }
    return CKR_DATA_INVALID;
}

CK_RV signature_request(const struct operation *operation, struct vks_bytes data, struct vks_request *request)
{
    const struct mechanism *mechanism = operation->mechanism;
    uint32_t vks = operation->parameter.vks;
    CK_RV rv = CKR_OK;

    if (data.size > VKS_INPUT_BYTES_MAX)
        return CKR_DATA_LEN_RANGE;
    if (mechanism->form == FORM_ECDSA_DIGEST)
        rv = take_digest(mechanism, data.size, &vks);
    else if (mechanism->form == FORM_RSA_INFO)
        rv = take_digest_info(mechanism, &data, &vks);
    else if (mechanism->form == FORM_PSS_DIGEST && data.size != parameter_digest_bytes(vks))
        rv = CKR_DATA_LEN_RANGE;
    if (rv == CKR_OK)
        rv = parameter_granted(&operation->key, vks);
    request->use.mechanism = vks;
    request->use.is_digest = operation->parameter.is_digest;
    request->input = data;
    return rv;
}
