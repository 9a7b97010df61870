/* SPDX-License-Identifier: Apache-2.0 */
/* RSA offers and what was wrapped to one. Knows the mechanism; must not know what is imported. */
#include "rsa_offers.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <string.h>
#include <time.h>

#include "key_slot.h"
#include "secret_arena.h"

enum {
    MODULUS_BYTES = VKS_RSA_OFFER_BITS / 8,
    BLOCK_BYTES = 8,          /* of RFC 5649 */
    WRAP_OVERHEAD_BYTES = 16, /* of RFC 5649: a block, and padding */
};

static struct live {
    uint8_t offer_id[16];
    EVP_PKEY *private_key;
    int64_t made_s;
} live[VKS_RSA_OFFERS_MAX];

static uint32_t next;

/* Counts through suspend, is not set back by anybody. */
static int64_t now_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_BOOTTIME, &now);
    return now.tv_sec;
}

int vks_rsa_offer_make(uint8_t offer_id[16], uint8_t **public_der, uint32_t *public_bytes)
{
    EVP_PKEY *private_key = EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)VKS_RSA_OFFER_BITS);
    struct live *entry = &live[next];
    int size = -1;

    *public_der = NULL;
    if (private_key && RAND_bytes(entry->offer_id, sizeof(entry->offer_id)) == 1)
        size = i2d_PUBKEY(private_key, public_der);
    ERR_clear_error();
    /* The one that was here has lost its id by now. */
    EVP_PKEY_free(entry->private_key);
    entry->private_key = NULL;
    if (size <= 0) {
        EVP_PKEY_free(private_key);
        return -EIO;
    }
    entry->private_key = private_key;
    entry->made_s = now_s();
    memcpy(offer_id, entry->offer_id, sizeof(entry->offer_id));
    *public_bytes = (uint32_t)size;
    next = (next + 1) % VKS_RSA_OFFERS_MAX;
    return 0;
}

static EVP_PKEY *take(const uint8_t offer_id[16])
{
    for (uint32_t i = 0; i < VKS_RSA_OFFERS_MAX; i++) {
        EVP_PKEY *private_key = live[i].private_key;

        if (private_key == NULL || memcmp(live[i].offer_id, offer_id, sizeof(live[i].offer_id)) != 0)
            continue;
        live[i].private_key = NULL;
        if (now_s() - live[i].made_s <= VKS_RSA_OFFER_SECONDS)
            return private_key;
        EVP_PKEY_free(private_key);
    }
    return NULL;
}

static const EVP_MD *hash_of(uint32_t hash)
{
    if (hash == VKS_IMPORT_OAEP_SHA1)
        return EVP_sha1();
    return hash == VKS_IMPORT_OAEP_SHA256 ? EVP_sha256() : NULL;
}

/* The AES key; *key_bytes* is what there is room for, and becomes its length. */
static int open_aes_key(EVP_PKEY *private_key, const EVP_MD *hash, const uint8_t *wrapped, uint8_t *key,
                        size_t *key_bytes)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, private_key, NULL);
    int error = -EBADMSG;

    if (context && EVP_PKEY_decrypt_init(context) == 1 &&
        EVP_PKEY_CTX_set_rsa_padding(context, RSA_PKCS1_OAEP_PADDING) == 1 &&
        EVP_PKEY_CTX_set_rsa_oaep_md(context, hash) == 1 && EVP_PKEY_CTX_set_rsa_mgf1_md(context, hash) == 1 &&
        EVP_PKEY_decrypt(context, key, key_bytes, wrapped, MODULUS_BYTES) == 1)
        error = 0;
    EVP_PKEY_CTX_free(context);
    return error;
}

static const EVP_CIPHER *wrap_of(size_t key_bytes)
{
    switch (key_bytes) {
    case 16:
        return EVP_aes_128_wrap_pad();
    case 24:
        return EVP_aes_192_wrap_pad();
    case 32:
        return EVP_aes_256_wrap_pad();
    default:
        return NULL;
    }
}

/* *material* takes wrapped_bytes. */
static int unwrap(const uint8_t *key, size_t key_bytes, const uint8_t *wrapped, size_t wrapped_bytes, uint8_t *material,
                  size_t *material_bytes)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    const EVP_CIPHER *cipher = wrap_of(key_bytes);
    int error = -EBADMSG;
    int written = 0;

    if (context == NULL || cipher == NULL)
        goto out;
    EVP_CIPHER_CTX_set_flags(context, EVP_CIPHER_CTX_FLAG_WRAP_ALLOW);
    if (EVP_DecryptInit_ex2(context, cipher, key, NULL, NULL) == 1 &&
        EVP_DecryptUpdate(context, material, &written, wrapped, (int)wrapped_bytes) == 1 && written > 0) {
        *material_bytes = (size_t)written;
        error = 0;
    }
out:
    EVP_CIPHER_CTX_free(context);
    return error;
}

int vks_rsa_offer_unwrap(const struct vks_custodian_import_rsa *import, const uint8_t *wrapped, uint8_t **material,
                         size_t *material_bytes)
{
    const EVP_MD *hash = hash_of(import->hash);
    EVP_PKEY *private_key = hash ? take(import->offer_id) : NULL;
    size_t rest_bytes, key_bytes = MODULUS_BYTES;
    uint8_t *key = NULL;
    int error = -EBADMSG;

    *material = NULL;
    if (hash == NULL)
        return -EINVAL;
    if (private_key == NULL)
        return -ENOENT;
    if (import->wrapped_bytes < MODULUS_BYTES)
        goto out;
    rest_bytes = import->wrapped_bytes - MODULUS_BYTES;
    if (rest_bytes < WRAP_OVERHEAD_BYTES || rest_bytes % BLOCK_BYTES != 0 ||
        rest_bytes - WRAP_OVERHEAD_BYTES > VKS_KEY_MATERIAL_BYTES_MAX)
        goto out;
    key = vks_secret_alloc(key_bytes);
    *material = vks_secret_alloc(rest_bytes);
    error = key && *material ? open_aes_key(private_key, hash, wrapped, key, &key_bytes) : -ENOMEM;
    if (!error)
        error = unwrap(key, key_bytes, wrapped + MODULUS_BYTES, rest_bytes, *material, material_bytes);
out:
    if (error) {
        vks_secret_free(*material);
        *material = NULL;
    }
    vks_secret_free(key);
    EVP_PKEY_free(private_key);
    ERR_clear_error();
    return error;
}
