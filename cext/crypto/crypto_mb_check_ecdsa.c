/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers of ECDSA: the first lanes sign as RFC 6979 does (A.2.5 and A.2.6, "sample" and "test"), and all must
 * come out as libcrypto's arithmetic has it.
 */
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/obj_mac.h>
#include <string.h>

#include "engine_crypto_mb.h"

enum {
    ORDER_BYTES_MAX = 48,
    KNOWN = 2,
    P256_WORDS = 4,
};

struct known {
    const char *digest, *nonce, *r, *s;
};

struct curve {
    int group;
    uint32_t bytes;
    const char *scalar;
    struct known known[KNOWN];
};

static const struct curve p256 = {
    NID_X9_62_prime256v1,
    32,
    "c9afa9d845ba75166b5c215767b1d6934e50c3db36e89b127b8a622b120f6721",
    {{"af2bdbe1aa9b6ec1e2ade1d694f41fc71a831d0268e9891562113d8a62add1bf",
      "a6e3c57dd01abe90086538398355dd4c3b17aa873382b0f24d6129493d8aad60",
      "efd48b2aacb6a8fd1140dd9cd45e81d69d2c877b56aaf991c34d0ea84eaf3716",
      "f7cb1c942d657c41d436c7a1b6e29f65f3e900dbb9aff4064dc4ab2f843acda8"},
     {"9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08",
      "d16b6ae827f17175e040871a1c7ec3500192c4c92677336ec2537acaee0008e0",
      "f1abb023518351cd71d881567b1ea663ed3efcf6c5132b354f28d3b0b7d38367",
      "019f4113742a2b14bd25926b49c649155f267e60d3814b4c0cc84250e46f0083"}},
};

static const struct curve p384 = {
    NID_secp384r1,
    48,
    "6b9d3dad2e1b8c1c05b19875b6659f4de23c3b667bf297ba9aa47740787137d896d5724e4c70a825f872c9ea60d2edf5",
    {{"9a9083505bc92276aec4be312696ef7bf3bf603f4bbd381196a029f340585312313bca4a9b5b890efee42c77b1ee25fe",
      "94ed910d1a099dad3254e9242ae85abde4ba15168eaf0ca87a555fd56d10fbca2907e3e83ba95368623b8c4686915cf9",
      "94edbb92a5ecb8aad4736e56c691916b3f88140666ce9fa73d64c4ea95ad133c81a648152e44acf96e36dd1e80fabe46",
      "99ef4aeb15f178cea1fe40db2603138f130e740a19624526203b6351d0a3a94fa329c145786e679e7b82c71a38628ac8"},
     {"768412320f7b0aa5812fce428dc4706b3cae50e02a64caa16a782249bfe8efc4b7ef1ccb126255d196047dfedf17a0a9",
      "015ee46a5bf88773ed9123a5ab0807962d193719503c527b031b4c2d225092ada71f4a459bc0da98adb95837db8312ea",
      "8203b63d3c853e8d77227fb377bcf7b7b772e97892a80f36ab775d509d7a5feb0542a7f0812998da8f1dd3ca3cf023db",
      "ddd0760448d42d8a43af45af836fce4de8be06b485e9b61b827c2f13173923e06a739f040649a667bf3b828246baa5a5"}},
};

/* What libcrypto needs to compute one signature; all numbers at once. */
struct numbers {
    EC_GROUP *group;
    EC_POINT *point;
    BN_CTX *context;
    BIGNUM *digest, *nonce, *scalar, *r, *s;
};

static bool numbers_make(struct numbers *numbers, int group)
{
    numbers->group = EC_GROUP_new_by_curve_name(group);
    numbers->point = numbers->group ? EC_POINT_new(numbers->group) : NULL;
    numbers->context = BN_CTX_new();
    numbers->digest = BN_new();
    numbers->nonce = BN_new();
    numbers->scalar = BN_new();
    numbers->r = BN_new();
    numbers->s = BN_new();
    return numbers->point && numbers->context && numbers->digest && numbers->nonce && numbers->scalar && numbers->r &&
           numbers->s;
}

static void numbers_free(struct numbers *numbers)
{
    BN_free(numbers->digest);
    BN_free(numbers->nonce);
    BN_free(numbers->scalar);
    BN_free(numbers->r);
    BN_free(numbers->s);
    BN_CTX_free(numbers->context);
    EC_POINT_free(numbers->point);
    EC_GROUP_free(numbers->group);
}

/* RFC's inputs in the first lanes, any numbers in the others. A digest above the order is no input: status 1. */
static bool set_inputs(struct numbers *numbers, const struct curve *curve, uint32_t lane)
{
    uint8_t bytes[ORDER_BYTES_MAX];

    if (lane < KNOWN)
        return BN_hex2bn(&numbers->digest, curve->known[lane].digest) && BN_hex2bn(&numbers->scalar, curve->scalar) &&
               BN_hex2bn(&numbers->nonce, curve->known[lane].nonce);
    memset(bytes, (int)(0x29 * lane), sizeof(bytes));
    if (BN_bin2bn(bytes, (int)curve->bytes, numbers->digest) == NULL)
        return false;
    for (uint32_t i = 0; i < curve->bytes; i++)
        bytes[i] = (uint8_t)(1 + i * 5 + lane * 31);
    if (BN_bin2bn(bytes, (int)curve->bytes, numbers->scalar) == NULL)
        return false;
    for (uint32_t i = 0; i < curve->bytes; i++)
        bytes[i] = (uint8_t)(7 + i * i + lane * 57);
    bytes[0] &= 0x7f;
    return BN_bin2bn(bytes, (int)curve->bytes, numbers->nonce) &&
           BN_nnmod(numbers->scalar, numbers->scalar, EC_GROUP_get0_order(numbers->group), numbers->context) == 1;
}

/* FIPS 186-5, 6.4.1, with a nonce that is known. */
static bool sign(struct numbers *numbers)
{
    const BIGNUM *order = EC_GROUP_get0_order(numbers->group);
    BN_CTX *context = numbers->context;
    bool done;
    BIGNUM *inverse;

    if (EC_POINT_mul(numbers->group, numbers->point, numbers->nonce, NULL, NULL, context) != 1 ||
        EC_POINT_get_affine_coordinates(numbers->group, numbers->point, numbers->r, NULL, context) != 1 ||
        BN_nnmod(numbers->r, numbers->r, order, context) != 1)
        return false;
    inverse = BN_mod_inverse(NULL, numbers->nonce, order, context);
    done = inverse && BN_mod_mul(numbers->s, numbers->r, numbers->scalar, order, context) == 1 &&
           BN_mod_add(numbers->s, numbers->s, numbers->digest, order, context) == 1 &&
           BN_mod_mul(numbers->s, numbers->s, inverse, order, context) == 1;
    BN_free(inverse);
    return done;
}

static bool is_hex(const BIGNUM *number, const char *hex)
{
    BIGNUM *want = NULL;
    bool same = BN_hex2bn(&want, hex) && BN_cmp(number, want) == 0;

    BN_free(want);
    return same;
}

/* One lane's inputs as the library wants them, and what has to come out: r || s. */
struct lane {
    uint8_t digest[ORDER_BYTES_MAX];
    uint64_t nonce[ORDER_BYTES_MAX / 8];
    uint64_t scalar[ORDER_BYTES_MAX / 8];
    uint8_t want[2 * ORDER_BYTES_MAX];
    uint8_t got[2 * ORDER_BYTES_MAX];
};

static bool lane_prepare(struct lane *lane, struct numbers *numbers, const struct curve *curve, uint32_t index)
{
    int bytes = (int)curve->bytes;

    if (!set_inputs(numbers, curve, index) || !sign(numbers))
        return false;
    if (index < KNOWN && (!is_hex(numbers->r, curve->known[index].r) || !is_hex(numbers->s, curve->known[index].s)))
        return false;
    return BN_bn2binpad(numbers->digest, lane->digest, bytes) == bytes &&
           BN_bn2lebinpad(numbers->nonce, (uint8_t *)lane->nonce, bytes) == bytes &&
           BN_bn2lebinpad(numbers->scalar, (uint8_t *)lane->scalar, bytes) == bytes &&
           BN_bn2binpad(numbers->r, lane->want, bytes) == bytes &&
           BN_bn2binpad(numbers->s, lane->want + bytes, bytes) == bytes;
}

/* The same by halves, as the pool of nonces does it. */
static crypto_mb_status sign_by_halves(uint8_t *const r[CRYPTO_MB_LANES], uint8_t *const s[CRYPTO_MB_LANES],
                                       const uint8_t *const digest[CRYPTO_MB_LANES],
                                       const uint64_t *const nonce[CRYPTO_MB_LANES],
                                       const uint64_t *const scalar[CRYPTO_MB_LANES], uint8_t *buffer)
{
    static uint64_t inverse[CRYPTO_MB_LANES][P256_WORDS], half[CRYPTO_MB_LANES][P256_WORDS];
    uint64_t *inverses[CRYPTO_MB_LANES], *halves[CRYPTO_MB_LANES];
    const uint64_t *read_inverses[CRYPTO_MB_LANES], *read_halves[CRYPTO_MB_LANES];
    crypto_mb_status status;

    for (uint32_t i = 0; i < CRYPTO_MB_LANES; i++) {
        read_inverses[i] = inverses[i] = inverse[i];
        read_halves[i] = halves[i] = half[i];
    }
    status = vks_crypto_mb.p256_sign_setup(inverses, halves, nonce, buffer);
    return status | vks_crypto_mb.p256_sign_complete(r, s, digest, read_halves, read_inverses, scalar, buffer);
}

static crypto_mb_ecdsa_sign *engine_of(enum vks_engine_function function)
{
    if (function == VKS_ENGINE_P384_SIGN)
        return vks_crypto_mb.p384_sign;
    return function == VKS_ENGINE_P256_SIGN ? vks_crypto_mb.p256_sign : sign_by_halves;
}

bool vks_crypto_mb_check_ecdsa(enum vks_engine_function function)
{
    const struct curve *curve = function == VKS_ENGINE_P384_SIGN ? &p384 : &p256;
    crypto_mb_ecdsa_sign *engine = engine_of(function);
    static struct lane lanes[CRYPTO_MB_LANES];
    const uint64_t *nonces[CRYPTO_MB_LANES], *scalars[CRYPTO_MB_LANES];
    const uint8_t *digests[CRYPTO_MB_LANES];
    uint8_t *r[CRYPTO_MB_LANES], *s[CRYPTO_MB_LANES];
    struct numbers numbers;
    bool right = numbers_make(&numbers, curve->group);

    for (uint32_t i = 0; i < CRYPTO_MB_LANES && right; i++) {
        memset(&lanes[i], 0, sizeof(lanes[i]));
        right = lane_prepare(&lanes[i], &numbers, curve, i);
        digests[i] = lanes[i].digest;
        nonces[i] = lanes[i].nonce;
        scalars[i] = lanes[i].scalar;
        r[i] = lanes[i].got;
        s[i] = lanes[i].got + curve->bytes;
    }
    right = right && engine(r, s, digests, nonces, scalars, NULL) == 0;
    for (uint32_t i = 0; i < CRYPTO_MB_LANES && right; i++)
        right = memcmp(lanes[i].got, lanes[i].want, 2 * curve->bytes) == 0;
    numbers_free(&numbers);
    return right;
}
