/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA signatures side by side (FIPS 186-5, 6.4.1).
 *
 * The nonces are made here, one for each signature: uniform below the order, of libcrypto's private generator, never
 * zero, kept nowhere. Dead lanes sign what the first one signs, with its nonce: the same signature once more.
 */
#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "batch_private.h"
#include "engine_crypto_mb.h"
#include "secret_arena.h"
#include "vmm_keystore.h"

enum {
    ORDER_BYTES_MAX = 48,
    ORDER_WORDS_MAX = ORDER_BYTES_MAX / 8,
};

_Static_assert((int)CRYPTO_MB_LANES == (int)VKS_BATCH_LANES, "a batch fills the library's lanes");

/* SP 800-186, 3.2.1.3 and 3.2.1.4: n. */
static const char p256_order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
static const char p384_order[] =
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";

/* Made at first use, by the lane's own thread. */
static struct maker {
    BIGNUM *nonce;
    BIGNUM *order[2]; /* P-256, P-384 */
} makers[VKS_LANE_COUNT];

struct scratch {
    uint8_t digest[VKS_BATCH_LANES][ORDER_BYTES_MAX];
    uint64_t nonce[VKS_BATCH_LANES][ORDER_WORDS_MAX];
    uint8_t signature[VKS_BATCH_LANES][2 * ORDER_BYTES_MAX];
};

static bool maker_ready(struct maker *maker)
{
    if (maker->nonce)
        return true;
    if (BN_hex2bn(&maker->order[0], p256_order) == 0 || BN_hex2bn(&maker->order[1], p384_order) == 0)
        return false;
    maker->nonce = BN_new();
    if (maker->nonce == NULL)
        return false;
    BN_set_flags(maker->nonce, BN_FLG_CONSTTIME);
    return true;
}

static bool make_nonce(struct maker *maker, uint32_t order_bytes, uint64_t words[ORDER_WORDS_MAX])
{
    const BIGNUM *order = maker->order[order_bytes > 32];
    bool made;

    do
        made = BN_priv_rand_range(maker->nonce, order) == 1;
    while (made && BN_is_zero(maker->nonce));
    made = made && BN_bn2lebinpad(maker->nonce, (uint8_t *)words, (int)order_bytes) == (int)order_bytes;
    BN_clear(maker->nonce);
    return made;
}

/* The private scalar as words, kept with the key from its first use on. */
static const uint64_t *scalar_of(struct vks_key *key, enum vks_lane lane)
{
    struct vks_key_lane *of = &key->lanes[lane];
    int order_bytes = (int)key->kind->size_bytes;
    BIGNUM *scalar = NULL;
    uint8_t *words;

    if (of->engine)
        return of->engine;
    words = vks_secret_alloc(ORDER_BYTES_MAX);
    if (words && EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1 &&
        BN_bn2lebinpad(scalar, words, order_bytes) == order_bytes)
        of->engine = words, of->engine_free = vks_secret_free;
    else
        vks_secret_free(words);
    BN_clear_free(scalar);
    return of->engine;
}

/* The leftmost bits of a digest longer than the order; a shorter one is a number all the same. */
static bool set_digest(const struct vks_operation *operation, uint32_t order_bytes, enum vks_lane lane, uint8_t *to)
{
    uint32_t digest_bytes = vks_hash_bytes(vks_mechanism_hash(operation->mechanism));
    uint8_t buffer[VKS_HASH_BYTES_MAX];
    const uint8_t *digest = vks_op_digest(operation, lane, buffer);

    if (digest == NULL)
        return false;
    if (digest_bytes > order_bytes)
        digest_bytes = order_bytes;
    memset(to, 0, order_bytes - digest_bytes);
    memcpy(to + order_bytes - digest_bytes, digest, digest_bytes);
    return true;
}

static void sign(struct vks_batch_work *work, uint32_t count, struct scratch *scratch,
                 const uint64_t *const scalars[VKS_BATCH_LANES])
{
    uint32_t order_bytes = work[0].key->kind->size_bytes;
    crypto_mb_ecdsa_sign *engine = order_bytes > 32 ? vks_crypto_mb.p384_sign : vks_crypto_mb.p256_sign;
    const uint8_t *digests[VKS_BATCH_LANES];
    const uint64_t *nonces[VKS_BATCH_LANES];
    uint8_t *r[VKS_BATCH_LANES], *s[VKS_BATCH_LANES];
    crypto_mb_status status;

    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        uint32_t from = i < count ? i : 0;

        digests[i] = scratch->digest[from];
        nonces[i] = scratch->nonce[from];
        r[i] = scratch->signature[i];
        s[i] = scratch->signature[i] + order_bytes;
    }
    status = engine(r, s, digests, nonces, scalars, NULL);
    for (uint32_t i = 0; i < count; i++) {
        if (!vks_crypto_mb_lane_ok(status, i))
            continue;
        memcpy(work[i].operation->output, scratch->signature[i], 2 * (size_t)order_bytes);
        work[i].operation->output_bytes = 2 * order_bytes;
        work[i].done = true;
    }
}

void vks_batch_ecdsa(struct vks_batch_work *work, uint32_t count, enum vks_lane lane)
{
    uint32_t order_bytes = work[0].key->kind->size_bytes;
    const uint64_t *scalars[VKS_BATCH_LANES];
    struct scratch scratch = {0};
    bool ready = maker_ready(&makers[lane]);

    for (uint32_t i = 0; i < count && ready; i++) {
        scalars[i] = scalar_of(work[i].key, lane);
        ready = scalars[i] && set_digest(work[i].operation, order_bytes, lane, scratch.digest[i]) &&
                make_nonce(&makers[lane], order_bytes, scratch.nonce[i]);
    }
    for (uint32_t i = count; i < VKS_BATCH_LANES && ready; i++)
        scalars[i] = scalars[0];
    if (ready)
        sign(work, count, &scratch, scalars);
    OPENSSL_cleanse(&scratch, sizeof(scratch));
}
