/* SPDX-License-Identifier: Apache-2.0 */
/* Key generation by libcrypto. Knows parameters per type; must not know who asked. */
#include "key_generate.h"

#include <errno.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>

#include "algorithm.h"
#include "key_material.h"
#include "secret_arena.h"

static int generate_raw(const struct vks_key_kind *kind, uint8_t **material, size_t *material_bytes)
{
    *material = vks_secret_alloc(kind->size_bytes);
    if (*material == NULL)
        return -ENOMEM;
    if (RAND_priv_bytes(*material, (int)kind->size_bytes) != 1 ||
        vks_key_material_check_raw(kind, *material, kind->size_bytes)) {
        vks_secret_free(*material);
        *material = NULL;
        return -EIO;
    }
    *material_bytes = kind->size_bytes;
    return 0;
}

static EVP_PKEY *generate_pkey(const struct vks_key_kind *kind)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, vks_key_kind_algorithm(kind), NULL);
    EVP_PKEY *pkey = NULL;

    if (context == NULL || EVP_PKEY_keygen_init(context) != 1)
        goto out;
    if (kind->family == VKS_KEY_FAMILY_EC && EVP_PKEY_CTX_set_group_name(context, kind->group) != 1)
        goto out;
    if (kind->family == VKS_KEY_FAMILY_RSA && EVP_PKEY_CTX_set_rsa_keygen_bits(context, (int)kind->size_bytes * 8) != 1)
        goto out;
    if (EVP_PKEY_generate(context, &pkey) != 1)
        pkey = NULL;
out:
    EVP_PKEY_CTX_free(context);
    return pkey;
}

int vks_key_generate(const struct vks_key_kind *kind, uint8_t **material, size_t *material_bytes)
{
    EVP_PKEY *pkey;
    int error = -EIO;

    *material = NULL;
    *material_bytes = 0;
    if (vks_key_kind_is_symmetric(kind))
        return generate_raw(kind, material, material_bytes);
    if (!vks_algorithm_has(kind))
        return -ENOTSUP;
    pkey = generate_pkey(kind);
    if (pkey)
        error = vks_key_material_check(kind, pkey);
    if (error == 0)
        error = vks_key_material_encode(kind, pkey, material, material_bytes);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return error;
}
