/* SPDX-License-Identifier: Apache-2.0 */
/* Halves of signatures, used once. Knows when there are enough; how they are made is libcrypto_mb's. */
#include "nonce_pool.h"

#include <openssl/crypto.h>
#include <string.h>

#include "ecdsa_engine_key.h"
#include "engine.h"
#include "engine_crypto_mb.h"
#include "secret_arena.h"
#include "vmm_keystore.h"

enum {
    P256_BYTES = 32,
    P256_WORDS = P256_BYTES / 8,
};

struct half {
    uint64_t inverse[P256_WORDS];
    uint64_t r[P256_WORDS];
};

static struct pool {
    uint32_t count;
    struct half half[VKS_NONCE_POOL_MAX];
} * pool;

static bool asked_for;

uint32_t vks_nonce_pool_count(void)
{
    return pool ? pool->count : 0;
}

static bool is_filled(void)
{
    return pool && pool->count > VKS_NONCE_POOL_MAX - CRYPTO_MB_LANES;
}

/* A lane that was given up is left out. */
static void keep(const struct half made[CRYPTO_MB_LANES], crypto_mb_status status)
{
    for (uint32_t i = 0; i < CRYPTO_MB_LANES; i++)
        if (vks_crypto_mb_lane_ok(status, i))
            pool->half[pool->count++] = made[i];
}

static void make(void)
{
    uint64_t nonce[CRYPTO_MB_LANES][VKS_ECDSA_WORDS_MAX];
    struct half made[CRYPTO_MB_LANES];
    const uint64_t *nonces[CRYPTO_MB_LANES];
    uint64_t *inverses[CRYPTO_MB_LANES], *rs[CRYPTO_MB_LANES];
    bool ready = true;

    for (uint32_t i = 0; i < CRYPTO_MB_LANES && ready; i++) {
        nonces[i] = nonce[i];
        inverses[i] = made[i].inverse;
        rs[i] = made[i].r;
        ready = vks_ecdsa_make_nonce(P256_BYTES, VKS_LANE_FAST, nonce[i]);
    }
    if (ready)
        keep(made, vks_crypto_mb.p256_sign_setup(inverses, rs, nonces, NULL));
    OPENSSL_cleanse(nonce, sizeof(nonce));
    OPENSSL_cleanse(made, sizeof(made));
}

bool vks_nonce_pool_fill(void)
{
    uint32_t before = vks_nonce_pool_count();

    if (!asked_for || is_filled() || !vks_engine_serves(VKS_ENGINE_P256_NONCES))
        return false;
    if (pool == NULL)
        pool = vks_secret_alloc(sizeof(*pool));
    if (pool == NULL)
        return false;
    make();
    return pool->count > before;
}

/* Out of the pool for good. */
static bool take(struct half *half)
{
    if (vks_nonce_pool_count() == 0)
        return false;
    pool->count--;
    *half = pool->half[pool->count];
    OPENSSL_cleanse(&pool->half[pool->count], sizeof(*half));
    return true;
}

/* Every lane does the same, with the same half: the same signature eight times. */
static bool complete(const struct half *half, const uint8_t *digest, const uint64_t *scalar, uint8_t *output)
{
    uint8_t signature[CRYPTO_MB_LANES][2 * P256_BYTES];
    const uint64_t *inverses[CRYPTO_MB_LANES], *rs[CRYPTO_MB_LANES], *scalars[CRYPTO_MB_LANES];
    const uint8_t *digests[CRYPTO_MB_LANES];
    uint8_t *r[CRYPTO_MB_LANES], *s[CRYPTO_MB_LANES];
    crypto_mb_status status;

    for (uint32_t i = 0; i < CRYPTO_MB_LANES; i++) {
        inverses[i] = half->inverse;
        rs[i] = half->r;
        scalars[i] = scalar;
        digests[i] = digest;
        r[i] = signature[i];
        s[i] = signature[i] + P256_BYTES;
    }
    status = vks_crypto_mb.p256_sign_complete(r, s, digests, rs, inverses, scalars, NULL);
    if (!vks_crypto_mb_lane_ok(status, 0))
        return false;
    memcpy(output, signature[0], sizeof(signature[0]));
    return true;
}

bool vks_nonce_pool_sign(struct vks_key *key, struct vks_operation *operation)
{
    uint8_t digest[P256_BYTES];
    const uint64_t *scalar;
    struct half half;
    bool done;

    if (!vks_engine_serves(VKS_ENGINE_P256_NONCES))
        return false;
    asked_for = true;
    scalar = vks_ecdsa_scalar(key, VKS_LANE_FAST);
    if (scalar == NULL || !vks_ecdsa_set_digest(operation, P256_BYTES, VKS_LANE_FAST, digest) || !take(&half))
        return false;
    done = complete(&half, digest, scalar, operation->output);
    OPENSSL_cleanse(&half, sizeof(half));
    if (done)
        operation->output_bytes = 2 * P256_BYTES;
    return done;
}
