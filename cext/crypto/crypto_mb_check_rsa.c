/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers of RSA: what a private key makes of a number, libcrypto turns back with the public exponent, which is
 * quick, and no other number would become that one.
 *
 * The keys are public, and made here: of a row of numbers, each with the distance to the next prime (found by trial
 * division and two Fermat tests). A wrong one would only mean that a right library is not used.
 */
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <stddef.h>
#include <string.h>

#include "engine_crypto_mb.h"

enum {
    MODULUS_BYTES_MAX = 512,
    HALF_BYTES_MAX = MODULUS_BYTES_MAX / 2,
    PRIMES = 4,
    EXPONENT = 65537,
};

struct size {
    uint32_t modulus_bits;
    uint32_t distance[PRIMES];
};

static const struct size sizes[] = {
    {2048, {436, 484, 938, 580}},
    {3072, {3358, 998, 1310, 2648}},
    {4096, {1334, 2482, 148, 1004}},
};

struct lane {
    uint64_t p[HALF_BYTES_MAX / 8], q[HALF_BYTES_MAX / 8];
    uint64_t dp[HALF_BYTES_MAX / 8], dq[HALF_BYTES_MAX / 8], iq[HALF_BYTES_MAX / 8];
    uint64_t n[MODULUS_BYTES_MAX / 8];
    uint8_t from[MODULUS_BYTES_MAX];
    uint8_t made[MODULUS_BYTES_MAX];
    uint8_t back[MODULUS_BYTES_MAX];
};

struct numbers {
    BIGNUM *prime[PRIMES], *n, *e, *t;
    BN_CTX *context;
};

/* With the top two bits and the lowest one set, another for each *seed*: Marsaglia's xorshift. */
static bool make_number(BIGNUM *number, uint32_t bits, uint64_t seed)
{
    uint8_t bytes[HALF_BYTES_MAX];
    uint64_t state = 0x9e3779b97f4a7c15 * (seed + 1);

    for (uint32_t i = 0; i < bits / 8; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (uint8_t)(state >> 32);
    }
    bytes[0] |= 0xc0;
    bytes[bits / 8 - 1] |= 1;
    return BN_bin2bn(bytes, (int)(bits / 8), number) != NULL;
}

static bool numbers_make(struct numbers *numbers, const struct size *size)
{
    uint32_t bits = size->modulus_bits / 2;
    bool made;

    memset(numbers, 0, sizeof(*numbers));
    numbers->n = BN_new();
    numbers->e = BN_new();
    numbers->t = BN_new();
    numbers->context = BN_CTX_new();
    made = numbers->n && numbers->e && numbers->t && numbers->context && BN_set_word(numbers->e, EXPONENT) == 1;
    for (uint32_t i = 0; i < PRIMES && made; i++) {
        numbers->prime[i] = BN_new();
        made = numbers->prime[i] && make_number(numbers->prime[i], bits, bits * 10 + i) &&
               BN_add_word(numbers->prime[i], size->distance[i]) == 1;
    }
    return made;
}

static void numbers_free(struct numbers *numbers)
{
    for (uint32_t i = 0; i < PRIMES; i++)
        BN_free(numbers->prime[i]);
    BN_free(numbers->n);
    BN_free(numbers->e);
    BN_free(numbers->t);
    BN_CTX_free(numbers->context);
}

static bool words(const BIGNUM *number, uint64_t *to, uint32_t bits)
{
    return BN_bn2lebinpad(number, (uint8_t *)to, (int)(bits / 8)) == (int)(bits / 8);
}

/* The exponent's inverse modulo prime - 1 (RFC 8017, 3.2). */
static bool crt_exponent(struct numbers *numbers, const BIGNUM *prime, uint64_t *to, uint32_t bits)
{
    return BN_copy(numbers->t, prime) && BN_sub_word(numbers->t, 1) == 1 &&
           BN_mod_inverse(numbers->n, numbers->e, numbers->t, numbers->context) && words(numbers->n, to, bits);
}

/* Two keys, and each with its primes the other way round; another number to begin with in each lane. */
static bool lane_prepare(struct lane *lane, struct numbers *numbers, uint32_t modulus_bits, uint32_t index)
{
    const BIGNUM *p = numbers->prime[index % PRIMES], *q = numbers->prime[(index % PRIMES) ^ 1];
    uint32_t bits = modulus_bits / 2;

    if (!words(p, lane->p, bits) || !words(q, lane->q, bits) || !crt_exponent(numbers, p, lane->dp, bits) ||
        !crt_exponent(numbers, q, lane->dq, bits) || !BN_mod_inverse(numbers->t, q, p, numbers->context) ||
        !words(numbers->t, lane->iq, bits) || BN_mul(numbers->n, p, q, numbers->context) != 1 ||
        !words(numbers->n, lane->n, modulus_bits))
        return false;
    for (uint32_t i = 1; i < modulus_bits / 8; i++)
        lane->from[i] = (uint8_t)(i * i * 3 + index * 61);
    return true;
}

static bool lane_is_right(const struct lane *lane, struct numbers *numbers, uint32_t modulus_bits)
{
    int bytes = (int)(modulus_bits / 8);
    uint8_t back[MODULUS_BYTES_MAX];

    return BN_lebin2bn((const uint8_t *)lane->n, bytes, numbers->n) && BN_bin2bn(lane->made, bytes, numbers->t) &&
           BN_mod_exp(numbers->t, numbers->t, numbers->e, numbers->n, numbers->context) == 1 &&
           BN_bn2binpad(numbers->t, back, bytes) == bytes && memcmp(back, lane->from, (size_t)bytes) == 0 &&
           memcmp(back, lane->back, (size_t)bytes) == 0;
}

static bool compute(struct lane lanes[CRYPTO_MB_LANES], int bits, uint8_t *buffer)
{
    const uint64_t *p[CRYPTO_MB_LANES], *q[CRYPTO_MB_LANES], *dp[CRYPTO_MB_LANES], *dq[CRYPTO_MB_LANES],
        *iq[CRYPTO_MB_LANES], *n[CRYPTO_MB_LANES];
    const uint8_t *from[CRYPTO_MB_LANES];
    uint8_t *made[CRYPTO_MB_LANES], *back[CRYPTO_MB_LANES];

    for (uint32_t i = 0; i < CRYPTO_MB_LANES; i++) {
        p[i] = lanes[i].p;
        q[i] = lanes[i].q;
        dp[i] = lanes[i].dp;
        dq[i] = lanes[i].dq;
        iq[i] = lanes[i].iq;
        n[i] = lanes[i].n;
        from[i] = lanes[i].from;
        made[i] = lanes[i].made;
        back[i] = lanes[i].back;
    }
    return vks_crypto_mb.rsa_private_crt(from, made, p, q, dp, dq, iq, bits, vks_crypto_mb.rsa_private_crt_method(bits),
                                         buffer) == 0 &&
           vks_crypto_mb.rsa_public((const uint8_t *const *)made, back, n, bits, vks_crypto_mb.rsa_public_method(bits),
                                    buffer) == 0;
}

bool vks_crypto_mb_check_rsa(enum vks_engine_function function)
{
    const struct size *size = &sizes[function - VKS_ENGINE_RSA_2048_SIGN];
    struct lane *lanes = OPENSSL_zalloc(CRYPTO_MB_LANES * sizeof(*lanes));
    uint8_t *buffer = OPENSSL_malloc(vks_crypto_mb_rsa_buffer_bytes(size->modulus_bits));
    struct numbers numbers;
    bool right = numbers_make(&numbers, size) && lanes && buffer;

    for (uint32_t i = 0; i < CRYPTO_MB_LANES && right; i++)
        right = lane_prepare(&lanes[i], &numbers, size->modulus_bits, i);
    right = right && compute(lanes, (int)size->modulus_bits, buffer);
    for (uint32_t i = 0; i < CRYPTO_MB_LANES && right; i++)
        right = lane_is_right(&lanes[i], &numbers, size->modulus_bits);
    numbers_free(&numbers);
    OPENSSL_free(buffer);
    OPENSSL_free(lanes);
    return right;
}
