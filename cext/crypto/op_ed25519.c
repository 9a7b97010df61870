/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 (RFC 8032), messages only: the signature hashes the message itself, twice. */
#include "op_family.h"
#include "vmm_keystore.h"

enum {
    SIGNATURE_BYTES = 64,
};

static uint32_t sizes(const struct vks_key_kind *kind, const struct vks_operation *operation)
{
    return VKS_STATUS_OK;
}

static uint32_t output_bytes(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    return op == VKS_OP_SIGN ? SIGNATURE_BYTES : 0;
}

static uint32_t run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    EVP_MD_CTX **context = &key->lanes[lane].ed25519;
    size_t signature_bytes = SIGNATURE_BYTES;

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
        EVP_DigestSign(*context, operation->output, &signature_bytes, operation->input, operation->input_bytes) != 1 ||
        signature_bytes != SIGNATURE_BYTES)
        return VKS_STATUS_INTERNAL;
    operation->output_bytes = SIGNATURE_BYTES;
    return VKS_STATUS_OK;
}

const struct vks_op_family vks_op_ed25519 = {sizes, output_bytes, run};
