/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Ed25519 (RFC 8032) and ML-DSA (FIPS 204, pure, with an empty context), messages only: both hash the message
 * themselves, together with what nobody outside knows or may choose. libcrypto hedges ML-DSA (FIPS 204, 3.4).
 */
#include "op_family.h"
#include "vmm_keystore.h"

enum {
    ED25519_SIGNATURE_BYTES = 64,
};

static uint32_t sizes(const struct vks_key_kind *kind, const struct vks_operation *operation)
{
    return VKS_STATUS_OK;
}

static uint32_t signature_bytes(const struct vks_key_kind *kind)
{
    return kind->family == VKS_KEY_FAMILY_ED25519 ? ED25519_SIGNATURE_BYTES : kind->size_bytes;
}

static uint32_t output_bytes(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    return op == VKS_OP_SIGN ? signature_bytes(kind) : 0;
}

static uint32_t run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    struct vks_key_lane *of = vks_key_lane(key, lane);
    EVP_MD_CTX **context;
    uint32_t needed_bytes = signature_bytes(key->kind);
    size_t made_bytes = needed_bytes;

    if (of == NULL)
        return VKS_STATUS_INTERNAL;
    context = &of->pure_signature;
    if (*context == NULL && (*context = EVP_MD_CTX_new()) == NULL)
        return VKS_STATUS_INTERNAL;
    /* From OpenSSL 3.5 on a context serves one message per initialisation. */
    if (operation->op == VKS_OP_VERIFY) {
        if (EVP_DigestVerifyInit(*context, NULL, NULL, NULL, key->pkey) != 1)
            return VKS_STATUS_INTERNAL;
        return EVP_DigestVerify(*context, operation->parameter, operation->parameter_bytes, operation->input,
                                operation->input_bytes) == 1
                   ? VKS_STATUS_OK
                   : VKS_STATUS_AUTH_FAILED;
    }
    if (EVP_DigestSignInit(*context, NULL, NULL, NULL, key->pkey) != 1 ||
        EVP_DigestSign(*context, operation->output, &made_bytes, operation->input, operation->input_bytes) != 1 ||
        made_bytes != needed_bytes)
        return VKS_STATUS_INTERNAL;
    operation->output_bytes = needed_bytes;
    return VKS_STATUS_OK;
}

const struct vks_op_family vks_op_pure_signature = {sizes, output_bytes, run};
