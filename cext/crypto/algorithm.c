/* SPDX-License-Identifier: Apache-2.0 */
/* Fetched algorithms. Knows names of libcrypto; must not know keys. */
#include "algorithm.h"

#include <errno.h>
#include <openssl/err.h>

#include "vmm_keystore.h"

static struct {
    EVP_MD *md[VKS_HASH_COUNT];
    EVP_CIPHER *cipher[VKS_CIPHER_MODE_COUNT][2];
    EVP_MAC *hmac;
    EVP_MAC *cmac;
    EVP_KDF *hkdf;
    EVP_KEYMGMT *optional[VKS_KEY_TYPE_COUNT]; /* of types that not every libcrypto has */
} fetched;

/* Messages are no secrets of ours: these contexts are shared by all keys of a lane. */
static EVP_MD_CTX *message_context[VKS_LANE_COUNT];

static const struct {
    const char *name;
    uint32_t bytes;
} hashes[VKS_HASH_COUNT] = {
    [VKS_HASH_SHA1] = {"SHA1", 20},
    [VKS_HASH_SHA256] = {"SHA256", 32},
    [VKS_HASH_SHA384] = {"SHA384", 48},
    [VKS_HASH_SHA512] = {"SHA512", 64},
};

/* One for each key length; the second may be missing. */
static const char *const ciphers[VKS_CIPHER_MODE_COUNT][2] = {
    [VKS_CIPHER_GCM] = {"AES-128-GCM", "AES-256-GCM"},  [VKS_CIPHER_CBC] = {"AES-128-CBC", "AES-256-CBC"},
    [VKS_CIPHER_CTR] = {"AES-128-CTR", "AES-256-CTR"},  [VKS_CIPHER_CHACHA20_POLY1305] = {"ChaCha20-Poly1305"},
    [VKS_CIPHER_KW] = {"AES-128-WRAP", "AES-256-WRAP"}, [VKS_CIPHER_KWP] = {"AES-128-WRAP-PAD", "AES-256-WRAP-PAD"},
    [VKS_CIPHER_XTS] = {"AES-128-XTS", "AES-256-XTS"},
};

static const enum vks_hash mechanism_hash[VKS_MECHANISM_COUNT] = {
    [VKS_MECHANISM_ECDSA_SHA256] = VKS_HASH_SHA256,     [VKS_MECHANISM_ECDSA_SHA384] = VKS_HASH_SHA384,
    [VKS_MECHANISM_ECDSA_SHA512] = VKS_HASH_SHA512,     [VKS_MECHANISM_RSA_PKCS1_SHA256] = VKS_HASH_SHA256,
    [VKS_MECHANISM_RSA_PKCS1_SHA384] = VKS_HASH_SHA384, [VKS_MECHANISM_RSA_PKCS1_SHA512] = VKS_HASH_SHA512,
    [VKS_MECHANISM_RSA_PSS_SHA256] = VKS_HASH_SHA256,   [VKS_MECHANISM_RSA_PSS_SHA384] = VKS_HASH_SHA384,
    [VKS_MECHANISM_RSA_PSS_SHA512] = VKS_HASH_SHA512,   [VKS_MECHANISM_RSA_OAEP_SHA1] = VKS_HASH_SHA1,
    [VKS_MECHANISM_RSA_OAEP_SHA256] = VKS_HASH_SHA256,  [VKS_MECHANISM_RSA_OAEP_SHA384] = VKS_HASH_SHA384,
    [VKS_MECHANISM_RSA_OAEP_SHA512] = VKS_HASH_SHA512,  [VKS_MECHANISM_HMAC_SHA256] = VKS_HASH_SHA256,
    [VKS_MECHANISM_HMAC_SHA384] = VKS_HASH_SHA384,      [VKS_MECHANISM_HMAC_SHA512] = VKS_HASH_SHA512,
    [VKS_MECHANISM_ECDH_HKDF_SHA256] = VKS_HASH_SHA256, [VKS_MECHANISM_ECDH_HKDF_SHA384] = VKS_HASH_SHA384,
    [VKS_MECHANISM_ECDH_HKDF_SHA512] = VKS_HASH_SHA512, [VKS_MECHANISM_HKDF_SHA256] = VKS_HASH_SHA256,
    [VKS_MECHANISM_HKDF_SHA384] = VKS_HASH_SHA384,      [VKS_MECHANISM_HKDF_SHA512] = VKS_HASH_SHA512,
};

static bool is_optional(const struct vks_key_kind *kind)
{
    return vks_key_kind_seed_bytes(kind) != 0;
}

static void fetch_optional(void)
{
    for (uint32_t type = VKS_KEY_TYPE_EC_P256; type < VKS_KEY_TYPE_COUNT; type++) {
        const struct vks_key_kind *kind = vks_key_kind_find(type);

        if (is_optional(kind))
            fetched.optional[type] = EVP_KEYMGMT_fetch(NULL, vks_key_kind_algorithm(kind), NULL);
    }
    ERR_clear_error();
}

bool vks_algorithm_has(const struct vks_key_kind *kind)
{
    return !is_optional(kind) || fetched.optional[kind->type];
}

uint64_t vks_algorithm_types(void)
{
    uint64_t types = 0;

    for (uint32_t type = VKS_KEY_TYPE_EC_P256; type < VKS_KEY_TYPE_COUNT; type++)
        if (vks_algorithm_has(vks_key_kind_find(type)))
            types |= UINT64_C(1) << type;
    return types;
}

int vks_algorithm_fetch(void)
{
    if (fetched.hmac)
        return 0;
    for (int hash = VKS_HASH_SHA1; hash < VKS_HASH_COUNT; hash++)
        if ((fetched.md[hash] = EVP_MD_fetch(NULL, hashes[hash].name, NULL)) == NULL)
            return -ENOTSUP;
    for (int mode = 0; mode < VKS_CIPHER_MODE_COUNT; mode++)
        for (int size = 0; size < 2; size++)
            if (ciphers[mode][size] &&
                (fetched.cipher[mode][size] = EVP_CIPHER_fetch(NULL, ciphers[mode][size], NULL)) == NULL)
                return -ENOTSUP;
    fetched.cmac = EVP_MAC_fetch(NULL, "CMAC", NULL);
    fetched.hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    fetch_optional();
    if (fetched.cmac && fetched.hkdf)
        fetched.hmac = EVP_MAC_fetch(NULL, "HMAC", NULL);
    return fetched.hmac ? 0 : -ENOTSUP;
}

enum vks_hash vks_mechanism_hash(uint32_t mechanism)
{
    return mechanism < VKS_MECHANISM_COUNT ? mechanism_hash[mechanism] : VKS_HASH_NONE;
}

uint32_t vks_hash_bytes(enum vks_hash hash)
{
    return hashes[hash].bytes;
}

const char *vks_hash_name(enum vks_hash hash)
{
    return hashes[hash].name;
}

const EVP_MD *vks_hash_md(enum vks_hash hash)
{
    return fetched.md[hash];
}

EVP_MAC *vks_hmac(void)
{
    return fetched.hmac;
}

EVP_MAC *vks_cmac(void)
{
    return fetched.cmac;
}

EVP_KDF *vks_hkdf(void)
{
    return fetched.hkdf;
}

const EVP_CIPHER *vks_cipher(enum vks_cipher_mode mode, uint32_t key_bytes)
{
    for (int size = 0; size < 2; size++) {
        const EVP_CIPHER *cipher = fetched.cipher[mode][size];

        if (cipher && (uint32_t)EVP_CIPHER_get_key_length(cipher) == key_bytes)
            return cipher;
    }
    return NULL;
}

int vks_hash_message(enum vks_lane lane, enum vks_hash hash, const uint8_t *message, size_t message_bytes,
                     uint8_t digest[VKS_HASH_BYTES_MAX])
{
    EVP_MD_CTX *context = message_context[lane];

    if (context == NULL)
        context = message_context[lane] = EVP_MD_CTX_new();
    if (context == NULL || EVP_DigestInit_ex2(context, fetched.md[hash], NULL) != 1 ||
        EVP_DigestUpdate(context, message, message_bytes) != 1 || EVP_DigestFinal_ex(context, digest, NULL) != 1)
        return -ENOMEM;
    return 0;
}
