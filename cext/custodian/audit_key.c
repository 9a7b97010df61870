/* SPDX-License-Identifier: Apache-2.0 */
/* Making and using the audit key. Knows how a checkpoint begins; must not know what it is of. */
#include "audit_key.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#include "key_generate.h"
#include "key_kind.h"
#include "key_material.h"
#include "secret_arena.h"
#include "vmm_keystore.h"

static const struct vks_seal_name seal_name = {.version = 1, .type = VKS_TYPE_AUDIT_KEY};

static const char text_start[] = "vmm-keystore/audit/";

static const struct vks_key_kind *kind(void)
{
    return vks_key_kind_find(VKS_KEY_TYPE_ED25519);
}

int vks_audit_key_make(struct vks_custodian_audit_key *key, uint8_t *sealed)
{
    uint8_t *material = NULL;
    size_t material_bytes = 0, public_bytes = sizeof(key->public_key);
    EVP_PKEY *pkey = NULL;
    int error = vks_key_generate(kind(), &material, &material_bytes);

    if (!error)
        error = vks_key_material_parse(kind(), material, material_bytes, &pkey);
    if (!error && (EVP_PKEY_get_raw_public_key(pkey, key->public_key, &public_bytes) != 1 ||
                   public_bytes != sizeof(key->public_key)))
        error = -EIO;
    if (!error)
        error = vks_seal(&seal_name, material, material_bytes, sealed);
    key->sealed_bytes = (uint32_t)material_bytes + VKS_SEAL_OVERHEAD;
    key->reserved = 0;
    EVP_PKEY_free(pkey);
    vks_secret_free(material);
    ERR_clear_error();
    return error;
}

/* Lines of text, the first of them a log's name: no other protocol's message looks like this. */
static bool is_checkpoint(const uint8_t *text, size_t text_bytes)
{
    return text_bytes > sizeof(text_start) && memcmp(text, text_start, sizeof(text_start) - 1) == 0 &&
           text[text_bytes - 1] == '\n' && memchr(text, 0, text_bytes) == NULL;
}

static int sign(EVP_PKEY *pkey, const uint8_t *text, size_t text_bytes, uint8_t *signature, size_t signature_bytes)
{
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    size_t written = signature_bytes;
    int error = -EIO;

    if (context && EVP_DigestSignInit(context, NULL, NULL, NULL, pkey) == 1 &&
        EVP_DigestSign(context, signature, &written, text, text_bytes) == 1 && written == signature_bytes)
        error = 0;
    EVP_MD_CTX_free(context);
    return error;
}

int vks_audit_key_sign(const uint8_t *sealed, size_t sealed_bytes, const uint8_t *text, size_t text_bytes,
                       struct vks_custodian_audit_signature *signature)
{
    uint8_t *material = NULL;
    EVP_PKEY *pkey = NULL;
    size_t material_bytes;
    int error = 0;

    if (!is_checkpoint(text, text_bytes))
        return -EINVAL;
    if (sealed_bytes <= VKS_SEAL_OVERHEAD || sealed_bytes > VKS_SEAL_BYTES_MAX)
        return -EBADMSG;
    material_bytes = sealed_bytes - VKS_SEAL_OVERHEAD;
    material = vks_secret_alloc(material_bytes);
    if (material == NULL)
        return -ENOMEM;
    error = vks_unseal(&seal_name, sealed, sealed_bytes, material);
    if (!error)
        error = vks_key_material_parse(kind(), material, material_bytes, &pkey);
    if (!error)
        error = sign(pkey, text, text_bytes, signature->signature, sizeof(signature->signature));
    EVP_PKEY_free(pkey);
    vks_secret_free(material);
    ERR_clear_error();
    return error;
}
