/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA (RFC 8017): PKCS#1 v1.5 and PSS signatures, OAEP encryption.
 *
 * A private operation that went wrong in one CRT half would give the key away (Boneh, DeMillo, Lipton); libcrypto
 * checks every CRT result against the public exponent and computes without CRT where it differs, so no further check
 * here.
 */
#include <openssl/crypto.h>
#include <openssl/rsa.h>
#include <string.h>

#include "op_family.h"
#include "vmm_keystore.h"

enum {
    MODULUS_BYTES_MAX = 512,
};

static bool is_pss(uint32_t mechanism)
{
    return mechanism >= VKS_MECHANISM_RSA_PSS_SHA256 && mechanism <= VKS_MECHANISM_RSA_PSS_SHA512;
}

static uint32_t oaep_text_bytes_max(const struct vks_key_kind *kind, uint32_t mechanism)
{
    return kind->size_bytes - 2 * vks_hash_bytes(vks_mechanism_hash(mechanism)) - 2;
}

static uint32_t sizes(const struct vks_key_kind *kind, const struct vks_operation *operation)
{
    if (operation->op == VKS_OP_SIGN || operation->op == VKS_OP_VERIFY)
        return vks_op_digest_sizes(operation);
    if (operation->aad_bytes || operation->parameter_bytes > VKS_PARAMETER_BYTES_MAX)
        return VKS_STATUS_INPUT_SIZE;
    if (operation->op == VKS_OP_ENCRYPT && operation->input_bytes > oaep_text_bytes_max(kind, operation->mechanism))
        return VKS_STATUS_INPUT_SIZE;
    return VKS_STATUS_OK;
}

static uint32_t output_bytes(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    if (op == VKS_OP_VERIFY)
        return 0;
    return op == VKS_OP_DECRYPT ? oaep_text_bytes_max(kind, mechanism) : kind->size_bytes;
}

static bool context_init(EVP_PKEY_CTX *context, uint32_t op, uint32_t mechanism)
{
    const EVP_MD *md = vks_hash_md(vks_mechanism_hash(mechanism));

    switch (op) {
    case VKS_OP_SIGN:
    case VKS_OP_VERIFY:
        if ((op == VKS_OP_SIGN ? EVP_PKEY_sign_init(context) : EVP_PKEY_verify_init(context)) != 1)
            return false;
        if (!is_pss(mechanism))
            return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PADDING) == 1 &&
                   EVP_PKEY_CTX_set_signature_md(context, md) == 1;
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_PSS_PADDING) == 1 &&
               EVP_PKEY_CTX_set_signature_md(context, md) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(context, md) == 1 &&
               EVP_PKEY_CTX_set_rsa_pss_saltlen(context, RSA_PSS_SALTLEN_DIGEST) == 1;
    default:
        if ((op == VKS_OP_ENCRYPT ? EVP_PKEY_encrypt_init(context) : EVP_PKEY_decrypt_init(context)) != 1)
            return false;
        return EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
               EVP_PKEY_CTX_set_rsa_oaep_md(context, md) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(context, md) == 1;
    }
}

/* The lane's context, initialised anew only when operation or mechanism changed. */
static EVP_PKEY_CTX *pkey_context(struct vks_key *key, const struct vks_operation *operation, enum vks_lane lane)
{
    bool private_use = operation->op == VKS_OP_SIGN || operation->op == VKS_OP_DECRYPT;
    struct vks_key_lane *of = vks_key_lane(key, lane);
    struct vks_key_context *cached;

    if (of == NULL)
        return NULL;
    cached = private_use ? &of->private_use : &of->public_use;
    if (cached->context && cached->op == operation->op && cached->mechanism == operation->mechanism)
        return cached->context;
    EVP_PKEY_CTX_free(cached->context);
    cached->context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (cached->context && context_init(cached->context, operation->op, operation->mechanism)) {
        cached->op = operation->op;
        cached->mechanism = operation->mechanism;
        return cached->context;
    }
    EVP_PKEY_CTX_free(cached->context);
    cached->context = NULL;
    return NULL;
}

static uint32_t signature_run(struct vks_key *key, EVP_PKEY_CTX *context, struct vks_operation *operation,
                              enum vks_lane lane)
{
    size_t digest_bytes = vks_hash_bytes(vks_mechanism_hash(operation->mechanism));
    size_t signature_bytes = key->kind->size_bytes;
    uint8_t buffer[VKS_HASH_BYTES_MAX];
    const uint8_t *digest = vks_op_digest(operation, lane, buffer);

    if (digest == NULL)
        return VKS_STATUS_INTERNAL;
    if (operation->op == VKS_OP_VERIFY) {
        if (operation->parameter_bytes != key->kind->size_bytes)
            return VKS_STATUS_AUTH_FAILED;
        return EVP_PKEY_verify(context, operation->parameter, operation->parameter_bytes, digest, digest_bytes) == 1
                   ? VKS_STATUS_OK
                   : VKS_STATUS_AUTH_FAILED;
    }
    if (EVP_PKEY_sign(context, operation->output, &signature_bytes, digest, digest_bytes) != 1 ||
        signature_bytes != key->kind->size_bytes)
        return VKS_STATUS_INTERNAL;
    operation->output_bytes = (uint32_t)signature_bytes;
    return VKS_STATUS_OK;
}

/* The label is per request, and an empty one has to replace the last; libcrypto takes ownership of the copy. */
static bool set_label(EVP_PKEY_CTX *context, const struct vks_operation *operation)
{
    uint8_t *label = OPENSSL_malloc(operation->parameter_bytes + 1u);

    if (label == NULL)
        return false;
    if (operation->parameter_bytes)
        memcpy(label, operation->parameter, operation->parameter_bytes);
    if (EVP_PKEY_CTX_set0_rsa_oaep_label(context, label, (int)operation->parameter_bytes) == 1)
        return true;
    OPENSSL_free(label);
    return false;
}

static uint32_t oaep_run(struct vks_key *key, EVP_PKEY_CTX *context, struct vks_operation *operation)
{
    uint32_t text_bytes_max = oaep_text_bytes_max(key->kind, operation->mechanism);
    uint8_t text[MODULUS_BYTES_MAX];
    size_t size = key->kind->size_bytes;
    uint32_t status = VKS_STATUS_AUTH_FAILED;

    if (!set_label(context, operation))
        return VKS_STATUS_INTERNAL;
    if (operation->op == VKS_OP_ENCRYPT) {
        if (EVP_PKEY_encrypt(context, operation->output, &size, operation->input, operation->input_bytes) != 1)
            return VKS_STATUS_INTERNAL;
        operation->output_bytes = (uint32_t)size;
        return VKS_STATUS_OK;
    }
    /* Whatever fails from here on is one answer: telling why is Manger's attack. */
    size = sizeof(text);
    if (operation->input_bytes == key->kind->size_bytes &&
        EVP_PKEY_decrypt(context, text, &size, operation->input, operation->input_bytes) == 1 &&
        size <= text_bytes_max) {
        memcpy(operation->output, text, size);
        operation->output_bytes = (uint32_t)size;
        status = VKS_STATUS_OK;
    }
    OPENSSL_cleanse(text, sizeof(text));
    return status;
}

static uint32_t run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    EVP_PKEY_CTX *context = pkey_context(key, operation, lane);

    if (context == NULL)
        return VKS_STATUS_INTERNAL;
    if (operation->op == VKS_OP_SIGN || operation->op == VKS_OP_VERIFY)
        return signature_run(key, context, operation, lane);
    return oaep_run(key, context, operation);
}

const struct vks_op_family vks_op_rsa = {sizes, output_bytes, run};
