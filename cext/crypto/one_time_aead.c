/* SPDX-License-Identifier: Apache-2.0 */
/* One derivation, one message. Knows HKDF and GCM; must not know what is sealed. */
#include "one_time_aead.h"

#include <errno.h>
#include <limits.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "algorithm.h"

enum {
    KEY_BYTES = 32,
};

static const uint8_t nonce[12];

static int derive(const struct vks_one_time_key *from, uint8_t key[KEY_BYTES])
{
    EVP_KDF *hkdf = EVP_KDF_fetch(NULL, "HKDF", NULL);
    EVP_KDF_CTX *context = hkdf ? EVP_KDF_CTX_new(hkdf) : NULL;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t) "SHA256", 0),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)from->secret.bytes,
                                          from->secret.size_bytes),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)from->salt.bytes,
                                          from->salt.size_bytes),
        OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)from->info.bytes,
                                          from->info.size_bytes),
        OSSL_PARAM_construct_end(),
    };
    int done = context && EVP_KDF_derive(context, key, KEY_BYTES, params) == 1;

    EVP_KDF_CTX_free(context);
    EVP_KDF_free(hkdf);
    return done ? 0 : -EIO;
}

static EVP_CIPHER_CTX *start(const struct vks_one_time_key *from, struct vks_one_time_part aad, int encrypt)
{
    uint8_t key[KEY_BYTES];
    EVP_CIPHER_CTX *context = NULL;
    int done = 0;

    if (aad.size_bytes > INT_MAX || derive(from, key))
        return NULL;
    context = EVP_CIPHER_CTX_new();
    if (context == NULL ||
        EVP_CipherInit_ex2(context, vks_cipher(VKS_CIPHER_GCM, KEY_BYTES), key, nonce, encrypt, NULL) != 1 ||
        EVP_CipherUpdate(context, NULL, &done, aad.bytes, (int)aad.size_bytes) != 1) {
        EVP_CIPHER_CTX_free(context);
        context = NULL;
    }
    OPENSSL_cleanse(key, sizeof(key));
    return context;
}

int vks_one_time_seal(const struct vks_one_time_key *from, struct vks_one_time_part aad, struct vks_one_time_part text,
                      uint8_t *cipher)
{
    EVP_CIPHER_CTX *context = start(from, aad, 1);
    int error = -EIO;
    int done = 0;
    int tail = 0;

    if (context && text.size_bytes <= INT_MAX &&
        EVP_CipherUpdate(context, cipher, &done, text.bytes, (int)text.size_bytes) == 1 &&
        EVP_CipherFinal_ex(context, cipher + done, &tail) == 1 && (size_t)done == text.size_bytes && tail == 0 &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, VKS_ONE_TIME_TAG_BYTES, cipher + done) == 1)
        error = 0;
    EVP_CIPHER_CTX_free(context);
    ERR_clear_error();
    return error;
}

int vks_one_time_open(const struct vks_one_time_key *from, struct vks_one_time_part aad,
                      struct vks_one_time_part cipher, uint8_t *text)
{
    size_t text_bytes = cipher.size_bytes - VKS_ONE_TIME_TAG_BYTES;
    EVP_CIPHER_CTX *context;
    int error = -EIO;
    uint8_t nothing[16];
    int done = 0;

    if (cipher.size_bytes < VKS_ONE_TIME_TAG_BYTES || cipher.size_bytes > INT_MAX)
        return -EBADMSG;
    context = start(from, aad, 0);
    if (context &&
        EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_SET_TAG, VKS_ONE_TIME_TAG_BYTES,
                            (uint8_t *)(uintptr_t)cipher.bytes + text_bytes) == 1 &&
        EVP_CipherUpdate(context, text, &done, cipher.bytes, (int)text_bytes) == 1)
        error = EVP_CipherFinal_ex(context, nothing, &done) == 1 ? 0 : -EBADMSG;
    if (error)
        OPENSSL_cleanse(text, text_bytes);
    EVP_CIPHER_CTX_free(context);
    ERR_clear_error();
    return error;
}
