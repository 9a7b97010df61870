/* SPDX-License-Identifier: Apache-2.0 */
#include "kek_id.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <string.h>

#include "algorithm.h"

static const char label[] = "vmm-keystore kek id 1\n";

int vks_kek_id(const uint8_t kek[VKS_KEK_BYTES], uint8_t id[VKS_KEK_ID_BYTES])
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    uint8_t digest[EVP_MAX_MD_SIZE];
    bool done = hash && EVP_DigestInit_ex2(hash, vks_hash_md(VKS_HASH_SHA256), NULL) == 1 &&
                EVP_DigestUpdate(hash, label, sizeof(label) - 1) == 1 &&
                EVP_DigestUpdate(hash, kek, VKS_KEK_BYTES) == 1 && EVP_DigestFinal_ex(hash, digest, NULL) == 1;

    EVP_MD_CTX_free(hash);
    if (done)
        memcpy(id, digest, VKS_KEK_ID_BYTES);
    return done ? 0 : -EIO;
}
