/* SPDX-License-Identifier: Apache-2.0 */
/* Words and blinding of RSA keys. Knows libcrypto's parameters; must not know what is signed. */
#define OPENSSL_SUPPRESS_DEPRECATED /* RSA: the padding functions ask it for its modulus */
#include "rsa_engine_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/rsa.h>

#include "rsa_padding.h"
#include "secret_arena.h"

struct rsa_engine_key {
    RSA *public; /* the public half only */
    BN_MONT_CTX *montgomery;
    BN_BLINDING *blinding;
    uint32_t modulus_bytes;
    struct rsa_words words;
    uint64_t n[]; /* then the five halves, one after the other */
};

struct rsa_unblinding {
    BN_CTX *context;
    BIGNUM *number;
    BIGNUM *inverse[RSA_ENGINE_LANES];
};

struct rsa_unblinding *vks_rsa_unblinding_new(void)
{
    struct rsa_unblinding *made = vks_secret_alloc(sizeof(*made));
    bool ready = made != NULL;

    if (!ready)
        return NULL;
    made->context = BN_CTX_new();
    made->number = BN_new();
    ready = made->context && made->number;
    for (uint32_t i = 0; i < RSA_ENGINE_LANES; i++) {
        made->inverse[i] = BN_new();
        ready = ready && made->inverse[i];
    }
    if (ready)
        return made;
    vks_rsa_unblinding_free(made);
    return NULL;
}

void vks_rsa_unblinding_free(struct rsa_unblinding *unblinding)
{
    if (unblinding == NULL)
        return;
    for (uint32_t i = 0; i < RSA_ENGINE_LANES; i++)
        BN_clear_free(unblinding->inverse[i]);
    BN_clear_free(unblinding->number);
    BN_CTX_free(unblinding->context);
    vks_secret_free(unblinding);
}

static void engine_key_free(void *engine)
{
    struct rsa_engine_key *key = engine;

    if (key == NULL)
        return;
    BN_BLINDING_free(key->blinding);
    BN_MONT_CTX_free(key->montgomery);
    RSA_free(key->public);
    vks_secret_free(key);
}

static int parameter_bits(const EVP_PKEY *pkey, const char *parameter)
{
    BIGNUM *number = NULL;
    int bits = EVP_PKEY_get_bn_param(pkey, parameter, &number) == 1 ? BN_num_bits(number) : 0;

    BN_clear_free(number);
    return bits;
}

bool vks_rsa_engine_key_suits(const struct vks_key_kind *kind, const EVP_PKEY *pkey)
{
    int half_bits = (int)kind->size_bytes * 4;
    BIGNUM *e = NULL;
    bool is = EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 && BN_is_word(e, RSA_F4) &&
              parameter_bits(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1) == half_bits &&
              parameter_bits(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2) == half_bits;

    BN_free(e);
    return is;
}

static bool load(const EVP_PKEY *pkey, const char *parameter, uint64_t *words, uint32_t count)
{
    BIGNUM *number = NULL;
    bool loaded = EVP_PKEY_get_bn_param(pkey, parameter, &number) == 1 &&
                  BN_bn2lebinpad(number, (uint8_t *)words, (int)(count * 8)) == (int)(count * 8);

    BN_clear_free(number);
    return loaded;
}

static bool load_words(struct rsa_engine_key *made, const EVP_PKEY *pkey)
{
    uint32_t words = made->modulus_bytes / 8, half = words / 2;
    uint64_t *p = made->n + words, *q = p + half, *dp = q + half, *dq = dp + half, *iq = dq + half;

    made->words = (struct rsa_words){made->n, p, q, dp, dq, iq};
    return load(pkey, OSSL_PKEY_PARAM_RSA_N, made->n, words) && load(pkey, OSSL_PKEY_PARAM_RSA_FACTOR1, p, half) &&
           load(pkey, OSSL_PKEY_PARAM_RSA_FACTOR2, q, half) && load(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT1, dp, half) &&
           load(pkey, OSSL_PKEY_PARAM_RSA_EXPONENT2, dq, half) &&
           load(pkey, OSSL_PKEY_PARAM_RSA_COEFFICIENT1, iq, half);
}

/* As libcrypto blinds: a random r in front as r^e, taken away by its inverse; both squared after each use. */
static bool make_blinding(struct rsa_engine_key *made, const EVP_PKEY *pkey)
{
    BN_CTX *context = BN_CTX_new();
    BIGNUM *n = NULL;
    BIGNUM *e = NULL;
    bool ready;

    made->public = RSA_new();
    made->montgomery = BN_MONT_CTX_new();
    ready = context && made->public && made->montgomery &&
            EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_N, &n) == 1 &&
            EVP_PKEY_get_bn_param(pkey, OSSL_PKEY_PARAM_RSA_E, &e) == 1 &&
            BN_MONT_CTX_set(made->montgomery, n, context) == 1;
    if (ready)
        made->blinding = BN_BLINDING_create_param(NULL, e, n, context, BN_mod_exp_mont, made->montgomery);
    ready = made->blinding && RSA_set0_key(made->public, n, e, NULL) == 1;
    if (!ready) {
        BN_free(n);
        BN_free(e);
    }
    BN_CTX_free(context);
    return ready;
}

struct rsa_engine_key *vks_rsa_engine_key_of(struct vks_key *key, enum vks_lane lane)
{
    struct vks_key_lane *of = vks_key_lane(key, lane);
    struct rsa_engine_key *made;

    if (of == NULL || of->engine)
        return of ? of->engine : NULL;
    made = vks_secret_alloc(sizeof(*made) + key->kind->size_bytes / 2 * 7); /* n is two halves */
    if (made == NULL)
        return NULL;
    made->modulus_bytes = key->kind->size_bytes;
    if (load_words(made, key->pkey) && make_blinding(made, key->pkey)) {
        of->engine = made;
        of->engine_free = engine_key_free;
        return made;
    }
    engine_key_free(made);
    return NULL;
}

const struct rsa_words *vks_rsa_engine_key_words(const struct rsa_engine_key *key)
{
    return &key->words;
}

bool vks_rsa_engine_key_encode(const struct rsa_engine_key *key, uint32_t mechanism, const uint8_t *digest,
                               uint8_t *encoded)
{
    return vks_rsa_padding_add(key->public, mechanism, digest, encoded);
}

bool vks_rsa_engine_key_blind(struct rsa_engine_key *key, const uint8_t *number, uint8_t *blinded,
                              struct rsa_unblinding *unblinding, uint32_t index)
{
    int bytes = (int)key->modulus_bytes;

    return BN_bin2bn(number, bytes, unblinding->number) &&
           BN_BLINDING_convert_ex(unblinding->number, unblinding->inverse[index], key->blinding, unblinding->context) ==
               1 &&
           BN_bn2binpad(unblinding->number, blinded, bytes) == bytes;
}

bool vks_rsa_engine_key_unblind(struct rsa_engine_key *key, uint8_t *number, struct rsa_unblinding *unblinding,
                                uint32_t index)
{
    int bytes = (int)key->modulus_bytes;

    return BN_bin2bn(number, bytes, unblinding->number) &&
           BN_BLINDING_invert_ex(unblinding->number, unblinding->inverse[index], key->blinding, unblinding->context) ==
               1 &&
           BN_bn2binpad(unblinding->number, number, bytes) == bytes;
}
