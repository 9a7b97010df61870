/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC (FIPS 198-1) and CMAC of AES (SP 800-38B), full-length tags only. A key does one of them. */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>

#include "op_family.h"
#include "vmm_keystore.h"

enum {
    CMAC_BYTES = 16,
};

_Static_assert((int)CMAC_BYTES <= (int)VKS_HASH_BYTES_MAX, "run has room for either tag");

static uint32_t tag_bytes_of(uint32_t mechanism)
{
    return mechanism == VKS_MECHANISM_AES_CMAC ? CMAC_BYTES : vks_hash_bytes(vks_mechanism_hash(mechanism));
}

static uint32_t sizes(const struct vks_key_kind *kind, const struct vks_operation *operation)
{
    return VKS_STATUS_OK;
}

static uint32_t output_bytes(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    return op == VKS_OP_MAC ? tag_bytes_of(mechanism) : 0;
}

/* What the MAC is built on. */
static OSSL_PARAM base_of(const struct vks_key *key, uint32_t mechanism)
{
    const char *name = vks_hash_name(vks_mechanism_hash(mechanism));
    const char *parameter = OSSL_MAC_PARAM_DIGEST;

    if (mechanism == VKS_MECHANISM_AES_CMAC) {
        name = EVP_CIPHER_get0_name(vks_cipher(VKS_CIPHER_CBC, key->material_bytes));
        parameter = OSSL_MAC_PARAM_CIPHER;
    }
    return OSSL_PARAM_construct_utf8_string(parameter, (char *)(uintptr_t)name, 0);
}

/* The lane's context, keyed once; all NULL starts a further message under the same key. */
static EVP_MAC_CTX *mac_context(struct vks_key *key, uint32_t mechanism, enum vks_lane lane)
{
    struct vks_key_lane *of = vks_key_lane(key, lane);
    EVP_MAC_CTX **context;
    OSSL_PARAM params[2];

    if (of == NULL)
        return NULL;
    context = &of->mac;
    if (*context)
        return EVP_MAC_init(*context, NULL, 0, NULL) == 1 ? *context : NULL;
    *context = EVP_MAC_CTX_new(mechanism == VKS_MECHANISM_AES_CMAC ? vks_cmac() : vks_hmac());
    if (*context == NULL)
        return NULL;
    params[0] = base_of(key, mechanism);
    params[1] = OSSL_PARAM_construct_end();
    if (EVP_MAC_init(*context, key->material, key->material_bytes, params) == 1)
        return *context;
    EVP_MAC_CTX_free(*context);
    *context = NULL;
    return NULL;
}

static uint32_t run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    EVP_MAC_CTX *context = mac_context(key, operation->mechanism, lane);
    uint32_t wanted_bytes = tag_bytes_of(operation->mechanism);
    uint8_t tag[VKS_HASH_BYTES_MAX];
    uint8_t *into = operation->op == VKS_OP_MAC ? operation->output : tag;
    uint32_t status = VKS_STATUS_OK;
    size_t tag_bytes = 0;

    if (context == NULL || EVP_MAC_update(context, operation->input, operation->input_bytes) != 1 ||
        EVP_MAC_final(context, into, &tag_bytes, wanted_bytes) != 1 || tag_bytes != wanted_bytes)
        return VKS_STATUS_INTERNAL;
    if (operation->op == VKS_OP_MAC)
        operation->output_bytes = (uint32_t)tag_bytes;
    else if (operation->parameter_bytes != tag_bytes || CRYPTO_memcmp(tag, operation->parameter, tag_bytes) != 0)
        status = VKS_STATUS_AUTH_FAILED;
    OPENSSL_cleanse(tag, sizeof(tag));
    return status;
}

const struct vks_op_family vks_op_mac = {sizes, output_bytes, run};
