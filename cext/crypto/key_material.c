/* SPDX-License-Identifier: Apache-2.0 */
/* Encoding and checks of keys. Knows their forms and libcrypto's parameters; must not know where they come from. */
#include "key_material.h"

#include <errno.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#include "algorithm.h"
#include "secret_arena.h"
#include "vmm_keystore.h"

int vks_key_material_check_raw(const struct vks_key_kind *kind, const uint8_t *material, size_t material_bytes)
{
    if (!vks_key_kind_is_symmetric(kind))
        return -EINVAL;
    if (kind->family == VKS_KEY_FAMILY_HMAC)
        return material_bytes >= 1 && material_bytes <= VKS_HMAC_KEY_BYTES_MAX ? 0 : -EINVAL;
    if (material_bytes != kind->size_bytes)
        return -EINVAL;
    /* FIPS 140-3 IG C.I: with one key twice XTS falls to chosen ciphertexts. */
    if (kind->family == VKS_KEY_FAMILY_XTS &&
        CRYPTO_memcmp(material, material + material_bytes / 2, material_bytes / 2) == 0)
        return -EBADMSG;
    return 0;
}

static int check_ec(const struct vks_key_kind *kind, EVP_PKEY *pkey)
{
    char group[32];
    int explicit_curve = 0;

    if (!EVP_PKEY_is_a(pkey, "EC") || EVP_PKEY_get_group_name(pkey, group, sizeof(group), NULL) != 1 ||
        strcmp(group, kind->group) != 0)
        return -EBADMSG;
    /* A curve given by its parameters is never needed and has been an attack (CVE-2020-0601). */
    if (EVP_PKEY_get_int_param(pkey, OSSL_PKEY_PARAM_EC_DECODED_FROM_EXPLICIT_PARAMS, &explicit_curve) == 1 &&
        explicit_curve)
        return -EBADMSG;
    return 0;
}

/* A modulus of this length, and an exponent that verifying cannot be slowed down with. */
static bool rsa_public_fits(const struct vks_key_kind *kind, const BIGNUM *n, const BIGNUM *e)
{
    return (uint32_t)BN_num_bits(n) == kind->size_bytes * 8 && BN_is_odd(n) && BN_is_odd(e) && BN_num_bits(e) >= 2 &&
           BN_num_bits(e) <= 64;
}

/*
 * n = p * q (so two primes), and a public half that fits. That d and its CRT parts fit is proven by each signature:
 * libcrypto checks a CRT result against e and computes without CRT where it is wrong.
 */
static int check_rsa(const struct vks_key_kind *kind, EVP_PKEY *pkey)
{
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    BIGNUM *d = NULL;
    BIGNUM *p = NULL;
    BIGNUM *q = NULL;
    BIGNUM *product = BN_secure_new();
    BN_CTX *context = BN_CTX_secure_new();
    int error = -EBADMSG;

    if (product == NULL || context == NULL || !EVP_PKEY_is_a(pkey, "RSA") ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) != 1 ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) != 1 ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_D, &d) != 1 ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, &p) != 1 ||
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, &q) != 1)
        goto out;
    if (!rsa_public_fits(kind, n, e) || BN_mul(product, p, q, context) != 1 || BN_cmp(product, n) != 0 ||
        BN_is_zero(d) || BN_cmp(d, n) >= 0)
        goto out;
    error = 0;
out:
    BN_free(n);
    BN_free(e);
    BN_clear_free(d);
    BN_clear_free(p);
    BN_clear_free(q);
    BN_clear_free(product);
    BN_CTX_free(context);
    return error;
}

static int check_rsa_public(const struct vks_key_kind *kind, EVP_PKEY *pkey)
{
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    int error = -EBADMSG;

    if (EVP_PKEY_is_a(pkey, "RSA") && EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
        EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && rsa_public_fits(kind, n, e))
        error = 0;
    BN_free(n);
    BN_free(e);
    return error;
}

int vks_key_material_check(const struct vks_key_kind *kind, EVP_PKEY *pkey)
{
    int error = -EBADMSG;

    if (kind->family == VKS_KEY_FAMILY_EC)
        error = check_ec(kind, pkey);
    else if (kind->family == VKS_KEY_FAMILY_ED25519 || kind->family == VKS_KEY_FAMILY_X25519 ||
             vks_key_kind_seed_bytes(kind))
        error = EVP_PKEY_is_a(pkey, vks_key_kind_algorithm(kind)) ? 0 : -EBADMSG;
    else if (kind->family == VKS_KEY_FAMILY_RSA)
        error = check_rsa(kind, pkey);
    ERR_clear_error();
    return error;
}

int vks_key_material_check_import(const struct vks_key_kind *kind, EVP_PKEY *pkey)
{
    EVP_PKEY_CTX *context;
    int error = vks_key_material_check(kind, pkey);

    if (error)
        return error;
    context = EVP_PKEY_CTX_new_from_pkey(NULL, pkey, NULL);
    error = context && EVP_PKEY_check(context) == 1 ? 0 : -EBADMSG;
    EVP_PKEY_CTX_free(context);
    ERR_clear_error();
    return error;
}

const struct vks_key_kind *vks_key_material_kind(EVP_PKEY *pkey)
{
    for (uint32_t type = VKS_KEY_TYPE_EC_P256; type < VKS_KEY_TYPE_COUNT; type++)
        if (vks_key_material_check(vks_key_kind_find(type), pkey) == 0)
            return vks_key_kind_find(type);
    return NULL;
}

/*
 * One decoder a family: to set one up costs ten times what decoding does, and a worker may get hundreds of keys while
 * its guest waits. It keeps nothing of a key but the address it decoded to, which is *decoded*.
 */
static EVP_PKEY *decoded;

static EVP_PKEY *decode(const struct vks_key_kind *kind, const uint8_t *material, size_t material_bytes)
{
    static OSSL_DECODER_CTX *decoders[VKS_KEY_FAMILY_COUNT];
    OSSL_DECODER_CTX **decoder = &decoders[kind->family];

    if (*decoder == NULL)
        *decoder = OSSL_DECODER_CTX_new_for_pkey(&decoded, "DER", "PrivateKeyInfo", vks_key_kind_algorithm(kind),
                                                 EVP_PKEY_KEYPAIR, NULL, NULL);
    decoded = NULL;
    if (*decoder && OSSL_DECODER_from_data(*decoder, &material, &material_bytes) == 1 && material_bytes == 0)
        return decoded;
    EVP_PKEY_free(decoded);
    return NULL;
}

/* The decoder would also take other structures. */
static bool is_pkcs8(const uint8_t *material, size_t material_bytes)
{
    const uint8_t *cursor = material;
    PKCS8_PRIV_KEY_INFO *info = d2i_PKCS8_PRIV_KEY_INFO(NULL, &cursor, (long)material_bytes);
    bool is = info && cursor == material + material_bytes;

    PKCS8_PRIV_KEY_INFO_free(info);
    return is;
}

static int decode_error(void)
{
    unsigned long error;

    while ((error = ERR_get_error()) != 0)
        if (ERR_GET_REASON(error) == ERR_R_MALLOC_FAILURE)
            return -ENOMEM;
    return -EBADMSG;
}

/* What libcrypto calls the seed of either family; the names in its headers came with the algorithms. */
static const char seed_name[] = "seed";

static EVP_PKEY *expand_seed(const struct vks_key_kind *kind, const uint8_t *seed, size_t seed_bytes)
{
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, vks_key_kind_algorithm(kind), NULL);
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(seed_name, (void *)(uintptr_t)seed, seed_bytes),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *pkey = NULL;

    if (context == NULL || EVP_PKEY_fromdata_init(context) != 1 ||
        EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_KEYPAIR, params) != 1)
        pkey = NULL;
    EVP_PKEY_CTX_free(context);
    return pkey;
}

static int parse(const struct vks_key_kind *kind, const uint8_t *material, size_t material_bytes, bool is_seed,
                 EVP_PKEY **pkey)
{
    int error;

    *pkey = NULL;
    if (vks_key_kind_is_symmetric(kind) || material_bytes > INT32_MAX)
        return -EBADMSG;
    if (!vks_algorithm_has(kind))
        return -ENOTSUP;
    ERR_clear_error();
    if (is_seed)
        *pkey = expand_seed(kind, material, material_bytes);
    else if (is_pkcs8(material, material_bytes))
        *pkey = decode(kind, material, material_bytes);
    error = *pkey ? vks_key_material_check(kind, *pkey) : decode_error();
    if (error) {
        EVP_PKEY_free(*pkey);
        *pkey = NULL;
    }
    ERR_clear_error();
    return error;
}

int vks_key_material_parse_public(const struct vks_key_kind *kind, const uint8_t *der, size_t der_bytes,
                                  EVP_PKEY **pkey)
{
    const uint8_t *cursor = der;
    int error = -EBADMSG;

    *pkey = NULL;
    if (!vks_key_kind_fits_token(kind) || der_bytes > INT32_MAX)
        return -EBADMSG;
    ERR_clear_error();
    /* A point that is not on the curve is refused here. */
    *pkey = d2i_PUBKEY(NULL, &cursor, (long)der_bytes);
    if (*pkey == NULL)
        error = decode_error();
    else if (cursor == der + der_bytes)
        error = kind->family == VKS_KEY_FAMILY_EC ? check_ec(kind, *pkey) : check_rsa_public(kind, *pkey);
    if (error) {
        EVP_PKEY_free(*pkey);
        *pkey = NULL;
    }
    ERR_clear_error();
    return error;
}

int vks_key_material_parse(const struct vks_key_kind *kind, const uint8_t *material, size_t material_bytes,
                           EVP_PKEY **pkey)
{
    uint32_t seed_bytes = vks_key_kind_seed_bytes(kind);

    *pkey = NULL;
    if (seed_bytes && material_bytes != seed_bytes)
        return -EBADMSG;
    return parse(kind, material, material_bytes, seed_bytes != 0, pkey);
}

int vks_key_material_parse_import(const struct vks_key_kind *kind, const uint8_t *material, size_t material_bytes,
                                  EVP_PKEY **pkey)
{
    uint32_t seed_bytes = vks_key_kind_seed_bytes(kind);

    /* No PKCS#8 is as short as a seed. */
    return parse(kind, material, material_bytes, seed_bytes && material_bytes == seed_bytes, pkey);
}

static int encode_seed(EVP_PKEY *pkey, size_t seed_bytes, uint8_t **material, size_t *material_bytes)
{
    size_t written = 0;

    *material = vks_secret_alloc(seed_bytes);
    if (*material == NULL)
        return -ENOMEM;
    if (EVP_PKEY_get_octet_string_param(pkey, seed_name, *material, seed_bytes, &written) == 1 &&
        written == seed_bytes) {
        *material_bytes = seed_bytes;
        return 0;
    }
    ERR_clear_error();
    vks_secret_free(*material);
    *material = NULL;
    return -ENODATA;
}

static int encode_pkcs8(EVP_PKEY *pkey, uint8_t **material, size_t *material_bytes)
{
    PKCS8_PRIV_KEY_INFO *info = EVP_PKEY2PKCS8(pkey);
    int size = -1;

    *material = NULL;
    if (info)
        size = i2d_PKCS8_PRIV_KEY_INFO(info, material);
    PKCS8_PRIV_KEY_INFO_free(info);
    ERR_clear_error();
    if (size <= 0)
        return -ENOMEM;
    *material_bytes = (size_t)size;
    return 0;
}

int vks_key_material_encode(const struct vks_key_kind *kind, EVP_PKEY *pkey, uint8_t **material, size_t *material_bytes)
{
    uint32_t seed_bytes = vks_key_kind_seed_bytes(kind);

    return seed_bytes ? encode_seed(pkey, seed_bytes, material, material_bytes)
                      : encode_pkcs8(pkey, material, material_bytes);
}
