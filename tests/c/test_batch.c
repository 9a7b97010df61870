/* SPDX-License-Identifier: Apache-2.0 */
/* Batches: each operation comes out as by itself, whatever its neighbours are, and whatever the engine says. */
#include <string.h>

#include "batch.h"
#include "check.h"
#include "crypto_process.h"
#include "engine.h"
#include "engine_crypto_mb.h"
#include "fresh_key.h"
#include "engine_ipsec_mb.h"
#include "key_kind.h"
#include "key_material.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "vmm_keystore.h"

enum {
    SKIP = 77, /* meson: skipped */
    KEYS = 3,
    CANARY = 0xc5,
    AREA_BYTES = VKS_BATCH_OUTPUT_BYTES_MAX + 16,
};

/* A class of batches. */
struct kind {
    const char *name;
    enum vks_engine_function function;
    uint32_t type, op, mechanisms[2];
    uint32_t keys; /* of different keys, 0: as many as there may be */
    bool takes_no_digest;
    bool random; /* the same message gives another result each time */
};

static const struct kind kinds[] = {
    {.name = "P-256",
     .function = VKS_ENGINE_P256_SIGN,
     .type = VKS_KEY_TYPE_EC_P256,
     .op = VKS_OP_SIGN,
     .mechanisms = {VKS_MECHANISM_ECDSA_SHA256, VKS_MECHANISM_ECDSA_SHA512},
     .random = true},
    {.name = "P-384",
     .function = VKS_ENGINE_P384_SIGN,
     .type = VKS_KEY_TYPE_EC_P384,
     .op = VKS_OP_SIGN,
     .mechanisms = {VKS_MECHANISM_ECDSA_SHA384, VKS_MECHANISM_ECDSA_SHA512},
     .random = true},
    {.name = "Ed25519",
     .function = VKS_ENGINE_ED25519_SIGN,
     .type = VKS_KEY_TYPE_ED25519,
     .op = VKS_OP_SIGN,
     .mechanisms = {VKS_MECHANISM_ED25519, VKS_MECHANISM_ED25519},
     .takes_no_digest = true},
    {.name = "X25519",
     .function = VKS_ENGINE_X25519_DERIVE,
     .type = VKS_KEY_TYPE_X25519,
     .op = VKS_OP_DERIVE,
     .mechanisms = {VKS_MECHANISM_ECDH, VKS_MECHANISM_ECDH},
     .takes_no_digest = true},
    {.name = "HMAC-SHA-256",
     .function = VKS_ENGINE_HMAC_SHA256,
     .type = VKS_KEY_TYPE_HMAC_SHA256,
     .op = VKS_OP_MAC,
     .mechanisms = {VKS_MECHANISM_HMAC_SHA256, VKS_MECHANISM_HMAC_SHA256},
     .takes_no_digest = true},
    {.name = "RSA-2048",
     .function = VKS_ENGINE_RSA_2048_SIGN,
     .type = VKS_KEY_TYPE_RSA_2048,
     .op = VKS_OP_SIGN,
     .mechanisms = {VKS_MECHANISM_RSA_PKCS1_SHA256, VKS_MECHANISM_RSA_PSS_SHA512},
     .random = true},
    {.name = "RSA-2048, other mechanisms",
     .function = VKS_ENGINE_RSA_2048_SIGN,
     .type = VKS_KEY_TYPE_RSA_2048,
     .op = VKS_OP_SIGN,
     .mechanisms = {VKS_MECHANISM_RSA_PKCS1_SHA512, VKS_MECHANISM_RSA_PKCS1_SHA384},
     .keys = 1},
    {.name = "RSA-3072",
     .function = VKS_ENGINE_RSA_3072_SIGN,
     .type = VKS_KEY_TYPE_RSA_3072,
     .op = VKS_OP_SIGN,
     .mechanisms = {VKS_MECHANISM_RSA_PSS_SHA256, VKS_MECHANISM_RSA_PSS_SHA384},
     .random = true,
     .keys = 2},
    {.name = "RSA-4096",
     .function = VKS_ENGINE_RSA_4096_SIGN,
     .type = VKS_KEY_TYPE_RSA_4096,
     .op = VKS_OP_SIGN,
     .mechanisms = {VKS_MECHANISM_RSA_PKCS1_SHA256, VKS_MECHANISM_RSA_PKCS1_SHA384},
     .keys = 1},
};

static uint8_t messages[VKS_BATCH_LANES][VKS_BATCH_INPUT_BYTES_MAX];
static uint8_t outputs[VKS_BATCH_LANES][AREA_BYTES];

/* Longer than a block: it is hashed first. */
static struct vks_key *long_hmac_key(void)
{
    static const uint8_t material[200] = {7};
    struct vks_key_slot slot = {.type = VKS_KEY_TYPE_HMAC_SHA256, .material_bytes = sizeof(material)};
    struct vks_key *key;

    CHECK_EQUAL("load", vks_key_load(&slot, material, &key), 0);
    return key;
}

static void fill_messages(void)
{
    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
        for (uint32_t byte = 0; byte < VKS_BATCH_INPUT_BYTES_MAX; byte++)
            messages[i][byte] = (uint8_t)(byte * 7 + i * 41 + byte / 251);
}

/* Lengths on both sides of the blocks of any hash. */
static uint32_t message_bytes(uint32_t i, uint32_t round)
{
    static const uint32_t lengths[] = {0, 1, 55, 56, 64, 111, 112, 128, 1000};

    return lengths[(i + round) % (sizeof(lengths) / sizeof(lengths[0]))];
}

static struct vks_batch_item item_of(const struct kind *kind, struct vks_key *key, uint32_t i, uint32_t round)
{
    struct vks_batch_item item = {
        .key = key,
        .operation = {.op = kind->op,
                      .mechanism = kind->mechanisms[(i + round) % 2],
                      .input = messages[i],
                      .input_bytes = message_bytes(i, round),
                      .output = outputs[i],
                      .output_bytes_max = VKS_BATCH_OUTPUT_BYTES_MAX},
    };

    memset(outputs[i], CANARY, AREA_BYTES);
    if (kind->op == VKS_OP_DERIVE) {
        item.operation.input_bytes = 0;
        item.operation.parameter = messages[i] + round;
        item.operation.parameter_bytes = 32;
    }
    return item;
}

/* By libcrypto, with the same key: a signature verifies, and what is not random comes out the same. */
static void check_right(const struct kind *kind, const struct vks_batch_item *item)
{
    struct vks_operation again = item->operation;
    uint8_t expected[AREA_BYTES];

    CHECK_EQUAL(kind->name, item->status, VKS_STATUS_OK);
    CHECK_EQUAL(kind->name, item->operation.output_bytes,
                vks_operation_output_bytes(kind->type, kind->op, again.mechanism, again.input_bytes));
    for (uint32_t byte = item->operation.output_bytes; byte < AREA_BYTES; byte++)
        CHECK_EQUAL("nothing behind the output", item->operation.output[byte], CANARY);
    if (kind->random) {
        again.op = VKS_OP_VERIFY;
        again.parameter = item->operation.output;
        again.parameter_bytes = item->operation.output_bytes;
        CHECK_EQUAL(kind->name, vks_operation_run(item->key, &again, VKS_LANE_SLOW), VKS_STATUS_OK);
        return;
    }
    again.output = expected;
    CHECK_EQUAL(kind->name, vks_operation_run(item->key, &again, VKS_LANE_SLOW), VKS_STATUS_OK);
    CHECK_EQUAL(kind->name, memcmp(expected, item->operation.output, again.output_bytes), 0);
}

/* Every count, with keys that differ, are the same, or both. */
static void test_counts(const struct kind *kind, struct vks_key *keys[KEYS])
{
    struct vks_batch_item items[VKS_BATCH_LANES];

    for (uint32_t count = 1; count <= VKS_BATCH_LANES; count++)
        for (uint32_t round = 0; round < 3; round++) {
            for (uint32_t i = 0; i < count; i++)
                items[i] = item_of(kind, keys[round == 0 ? 0 : (i * round) % KEYS], i, round);
            vks_batch_run(items, count, VKS_LANE_FAST);
            for (uint32_t i = 0; i < count; i++)
                check_right(kind, &items[i]);
        }
}

/* One that cannot be answered among seven that can. */
static void test_bad_neighbour(const struct kind *kind, struct vks_key *keys[KEYS])
{
    static const struct {
        const char *name;
        uint32_t flags, aad_bytes, input_bytes, output_bytes_max, want;
    } cases[] = {
        {"digest too short", VKS_REQUEST_F_DIGEST, 0, 31, 512, VKS_STATUS_INPUT_SIZE},
        {"digest too long", VKS_REQUEST_F_DIGEST, 0, 65, 512, VKS_STATUS_INPUT_SIZE},
        {"associated data", 0, 1, 0, 512, VKS_STATUS_MALFORMED},
        {"no room", 0, 0, 0, 31, VKS_STATUS_OUTPUT_SIZE},
    };
    struct vks_batch_item items[VKS_BATCH_LANES];

    for (size_t c = 0; c < sizeof(cases) / sizeof(cases[0]); c++)
        for (uint32_t bad = 0; bad < VKS_BATCH_LANES; bad += 3) {
            uint32_t want = cases[c].want;

            for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
                items[i] = item_of(kind, keys[i % KEYS], i, 0);
            items[bad].operation.flags = cases[c].flags;
            items[bad].operation.aad = messages[0];
            items[bad].operation.aad_bytes = cases[c].aad_bytes;
            items[bad].operation.input_bytes = cases[c].input_bytes;
            items[bad].operation.output_bytes_max = cases[c].output_bytes_max;
            vks_batch_run(items, VKS_BATCH_LANES, VKS_LANE_FAST);
            if (kind->takes_no_digest && cases[c].flags)
                want = VKS_STATUS_UNSUPPORTED;
            else if (kind->op == VKS_OP_DERIVE && want == VKS_STATUS_MALFORMED)
                want = VKS_STATUS_INPUT_SIZE;
            CHECK_EQUAL(cases[c].name, items[bad].status, want);
            for (uint32_t byte = 0; byte < AREA_BYTES; byte++)
                CHECK_EQUAL("nothing of a result", outputs[bad][byte], CANARY);
            for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
                if (i != bad)
                    check_right(kind, &items[i]);
        }
}

/* The same digest eight times, and again: no nonce comes twice, in no lane and in no batch. */
static void test_nonces(const struct kind *kind, struct vks_key *key)
{
    enum {
        BATCHES = 4,
        R_BYTES = 32,
    };
    static uint8_t seen[BATCHES * VKS_BATCH_LANES][R_BYTES];
    struct vks_batch_item items[VKS_BATCH_LANES];

    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
            items[i] = item_of(kind, key, i, 0);
            items[i].operation.mechanism = kind->mechanisms[0];
            items[i].operation.input = messages[0];
            items[i].operation.input_bytes = 32;
        }
        /* With five of eight lanes too: the dead ones repeat the first one's, and nobody sees it. */
        vks_batch_run(items, batch % 2 ? 5 : VKS_BATCH_LANES, VKS_LANE_FAST);
        for (uint32_t i = 0; i < (batch % 2 ? 5 : VKS_BATCH_LANES); i++)
            memcpy(seen[batch * VKS_BATCH_LANES + i], outputs[i], R_BYTES);
        for (uint32_t i = batch % 2 ? 5 : VKS_BATCH_LANES; i < VKS_BATCH_LANES; i++)
            memset(seen[batch * VKS_BATCH_LANES + i], (int)(1 + batch * VKS_BATCH_LANES + i), R_BYTES);
    }
    for (uint32_t i = 0; i < BATCHES * VKS_BATCH_LANES; i++)
        for (uint32_t j = 0; j < i; j++)
            CHECK("r differs", memcmp(seen[i], seen[j], R_BYTES) != 0);
}

static struct crypto_mb honest;
static struct ipsec_mb honest_ipsec;
static uint32_t failing_lane;
static uint32_t calls;

static crypto_mb_status give_up(crypto_mb_status status, uint8_t *result)
{
    calls++;
    memset(result, CANARY, 32);
    return status | UINT32_C(8) << (4 * failing_lane);
}

static crypto_mb_status failing_p256(uint8_t *const r[8], uint8_t *const s[8], const uint8_t *const digest[8],
                                     const uint64_t *const nonce[8], const uint64_t *const scalar[8], uint8_t *buffer)
{
    return give_up(honest.p256_sign(r, s, digest, nonce, scalar, buffer), r[failing_lane]);
}

static crypto_mb_status failing_p384(uint8_t *const r[8], uint8_t *const s[8], const uint8_t *const digest[8],
                                     const uint64_t *const nonce[8], const uint64_t *const scalar[8], uint8_t *buffer)
{
    return give_up(honest.p384_sign(r, s, digest, nonce, scalar, buffer), r[failing_lane]);
}

static crypto_mb_status failing_ed25519(uint8_t *const r[8], uint8_t *const s[8], const uint8_t *const message[8],
                                        const uint32_t bytes[8], const uint8_t *const seed[8],
                                        const uint8_t *const public[8])
{
    return give_up(honest.ed25519_sign(r, s, message, bytes, seed, public), r[failing_lane]);
}

/* Says that all is well, and gives what a point of low order would. */
static crypto_mb_status failing_x25519(uint8_t *const shared[8], const uint8_t *const private[8],
                                       const uint8_t *const peer[8])
{
    crypto_mb_status status = honest.x25519(shared, private, peer);

    calls++;
    memset(shared[failing_lane], 0, 32);
    return status;
}

static uint8_t last_input[VKS_BATCH_OUTPUT_BYTES_MAX];

/* Says that all is well, and one bit is wrong: a fault in one half. */
static crypto_mb_status failing_rsa(const uint8_t *const from[8], uint8_t *const to[8], const uint64_t *const p[8],
                                    const uint64_t *const q[8], const uint64_t *const dp[8],
                                    const uint64_t *const dq[8], const uint64_t *const iq[8], int bits,
                                    const crypto_mb_rsa_method *method, uint8_t *buffer)
{
    crypto_mb_status status;

    CHECK("a buffer of ours", buffer != NULL);
    memcpy(last_input, from[0], (size_t)bits / 8);
    status = honest.rsa_private_crt(from, to, p, q, dp, dq, iq, bits, method, buffer);
    calls++;
    to[failing_lane][bits / 16] ^= 4;
    return status;
}

/* Nothing of a burst is believed that was not computed whole. */
static bool failing_hmac(void *manager, const struct ipsec_mb_hmac *burst, uint32_t count)
{
    calls++;
    CHECK("computed", honest_ipsec.hmac_sha256(manager, burst, count));
    memset(burst[failing_lane % count].tag, CANARY, 32);
    return false;
}

static void fail(void)
{
    honest = vks_crypto_mb;
    honest_ipsec = vks_ipsec_mb;
    vks_ipsec_mb.hmac_sha256 = failing_hmac;
    vks_crypto_mb.p256_sign = failing_p256;
    vks_crypto_mb.p384_sign = failing_p384;
    vks_crypto_mb.ed25519_sign = failing_ed25519;
    vks_crypto_mb.x25519 = failing_x25519;
    vks_crypto_mb.rsa_private_crt = failing_rsa;
}

static void be_honest(void)
{
    vks_crypto_mb = honest;
    vks_ipsec_mb = honest_ipsec;
}

/* A lane that the engine gives up, or is wrong in where that can be seen, is libcrypto's. */
static void test_failing_lane(const struct kind *kind, struct vks_key *keys[KEYS])
{
    struct vks_batch_item items[VKS_BATCH_LANES];

    fail();
    for (failing_lane = 0; failing_lane < VKS_BATCH_LANES; failing_lane++) {
        calls = 0;
        for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
            items[i] = item_of(kind, keys[i % KEYS], i, 0);
        vks_batch_run(items, VKS_BATCH_LANES, VKS_LANE_FAST);
        CHECK_EQUAL("the engine was asked", calls, 1);
        for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
            check_right(kind, &items[i]);
    }
    be_honest();
}

/* The same message goes into the private operation as another number each time, and never as itself. */
static void test_blinding(const struct kind *kind, struct vks_key *key)
{
    enum {
        BATCHES = 8,
    };
    static uint8_t seen[BATCHES][VKS_BATCH_OUTPUT_BYTES_MAX];
    struct vks_batch_item items[VKS_BATCH_LANES];

    fail();
    failing_lane = 0;
    for (uint32_t batch = 0; batch < BATCHES; batch++) {
        for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
            items[i] = item_of(kind, key, 0, 0);
            items[i].operation.output = outputs[i];
        }
        vks_batch_run(items, VKS_BATCH_LANES, VKS_LANE_FAST);
        memcpy(seen[batch], last_input, sizeof(last_input));
        CHECK("not the padding of PKCS#1", seen[batch][1] != 1 || seen[batch][2] != 0xff);
        for (uint32_t before = 0; before < batch; before++)
            CHECK("another number", memcmp(seen[batch], seen[before], 128) != 0);
    }
    be_honest();
}

/* Points that give zero (RFC 7748, 6.1) among others: refused, as by itself. */
static void test_low_order(const struct kind *kind, struct vks_key *keys[KEYS])
{
    static const uint8_t points[2][32] = {{0}, {1}};
    struct vks_batch_item items[VKS_BATCH_LANES];

    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        items[i] = item_of(kind, keys[i % KEYS], i, 0);
        if (i % 4 == 1)
            items[i].operation.parameter = points[i / 4];
    }
    vks_batch_run(items, VKS_BATCH_LANES, VKS_LANE_FAST);
    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        if (i % 4 != 1) {
            check_right(kind, &items[i]);
            continue;
        }
        CHECK_EQUAL("low order", items[i].status, VKS_STATUS_AUTH_FAILED);
        CHECK_EQUAL("no bytes", items[i].operation.output_bytes, 0);
    }
}

/* What is no batch is run all the same: operations of several classes, and more than a batch has. */
static void test_no_batch(void)
{
    struct vks_key *keys[2] = {fresh_key(kinds[0].type), fresh_key(kinds[1].type)};
    struct vks_batch_item items[VKS_BATCH_LANES];

    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
        items[i] = item_of(&kinds[i % 2], keys[i % 2], i, 0);
    vks_batch_run(items, VKS_BATCH_LANES, VKS_LANE_FAST);
    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
        check_right(&kinds[i % 2], &items[i]);
    vks_batch_run(items, 0, VKS_LANE_FAST);
    CHECK_EQUAL("no key, no class", vks_batch_class(NULL, VKS_OP_SIGN, VKS_MECHANISM_ECDSA_SHA256, 0), 0);
    vks_key_unref(keys[0]);
    vks_key_unref(keys[1]);
}

/* The private half lies in a token: no engine has it. */
static void test_in_token(void)
{
    struct vks_key *key = fresh_key(VKS_KEY_TYPE_EC_P256), *half;
    struct vks_operation public = {.op = VKS_OP_PUBLIC, .output = outputs[0], .output_bytes_max = AREA_BYTES};
    struct vks_key_slot slot = {.type = VKS_KEY_TYPE_EC_P256 | VKS_TYPE_F_TOKEN};

    CHECK_EQUAL("public", vks_operation_run(key, &public, VKS_LANE_FAST), VKS_STATUS_OK);
    slot.material_bytes = public.output_bytes;
    CHECK_EQUAL("load", vks_key_load(&slot, outputs[0], &half), 0);
    CHECK_EQUAL("no class", vks_batch_class(half, VKS_OP_SIGN, VKS_MECHANISM_ECDSA_SHA256, 32), 0);
    vks_key_unref(half);
    vks_key_unref(key);
}

/* Keys that the library does not take: another exponent. */
static void test_odd_rsa(void)
{
    struct vks_key_slot slot = {.type = VKS_KEY_TYPE_RSA_2048};
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    unsigned int bits = 2048, exponent = 3;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_uint("bits", &bits),
        OSSL_PARAM_construct_uint("e", &exponent),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *pkey = NULL;
    size_t material_bytes;
    struct vks_key *key;
    uint8_t *material;

    CHECK("init", EVP_PKEY_keygen_init(context) == 1 && EVP_PKEY_CTX_set_params(context, params) == 1);
    CHECK("keygen", EVP_PKEY_generate(context, &pkey) == 1);
    CHECK_EQUAL("encode", vks_key_material_encode(vks_key_kind_find(slot.type), pkey, &material, &material_bytes), 0);
    slot.material_bytes = (uint32_t)material_bytes;
    CHECK_EQUAL("load", vks_key_load(&slot, material, &key), 0);
    CHECK_EQUAL("no class", vks_batch_class(key, VKS_OP_SIGN, VKS_MECHANISM_RSA_PSS_SHA256, 32), 0);
    vks_key_unref(key);
    vks_secret_free(material);
    EVP_PKEY_free(pkey);
    EVP_PKEY_CTX_free(context);
}

/* The largest digest there is, above the order of P-256: whoever computes it, it is right. */
static void test_large_digest(const struct kind *kind, struct vks_key *keys[KEYS])
{
    static uint8_t digest[64];
    struct vks_batch_item items[VKS_BATCH_LANES];

    memset(digest, 0xff, sizeof(digest));
    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        items[i] = item_of(kind, keys[i % KEYS], i, 0);
        items[i].operation.flags = VKS_REQUEST_F_DIGEST;
        items[i].operation.input = i % 4 < 2 ? digest : messages[i];
        items[i].operation.input_bytes = i % 2 ? 64 : 32;
    }
    vks_batch_run(items, VKS_BATCH_LANES, VKS_LANE_FAST);
    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
        check_right(kind, &items[i]);
}

static void test_class(const struct kind *kind, const struct vks_key *key)
{
    uint32_t class = vks_batch_class(key, kind->op, kind->mechanisms[0], 32);

    CHECK(kind->name, class != 0);
    CHECK_EQUAL("one class", vks_batch_class(key, kind->op, kind->mechanisms[1], 0), class);
    CHECK_EQUAL("too long", vks_batch_class(key, kind->op, kind->mechanisms[0], VKS_BATCH_INPUT_BYTES_MAX + 1), 0);
    CHECK_EQUAL("another operation", vks_batch_class(key, VKS_OP_PUBLIC, 0, 0), 0);
    CHECK_EQUAL("processing", vks_batch_class(key, kind->op + 1, kind->mechanisms[0], 32), 0);
    vks_engines_allow(UINT32_MAX & ~(UINT32_C(1) << kind->function));
    CHECK_EQUAL("not allowed", vks_batch_class(key, kind->op, kind->mechanisms[0], 32), 0);
    vks_engines_allow(UINT32_MAX);
}

/* Without an engine a batch is its operations, one by one. */
static void test_without(const struct kind *kind, struct vks_key *keys[KEYS])
{
    vks_engines_allow(0);
    test_counts(kind, keys);
    vks_engines_allow(UINT32_MAX);
}

/* What a key got for its engine goes with it. */
static void test_key_life(const struct kind *kind)
{
    struct vks_key_slot slot = {.type = kind->type};
    struct vks_batch_item items[VKS_BATCH_LANES];
    size_t material_bytes, used = 0;
    uint8_t *material;

    CHECK_EQUAL("generate", vks_key_generate(vks_key_kind_find(kind->type), &material, &material_bytes), 0);
    slot.material_bytes = (uint32_t)material_bytes;
    for (uint32_t life = 0; life < 12; life++) {
        struct vks_key *key;

        CHECK_EQUAL("load", vks_key_load(&slot, material, &key), 0);
        for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
            items[i] = item_of(kind, key, i, 0);
        vks_batch_run(items, VKS_BATCH_LANES, VKS_LANE_FAST);
        vks_key_unref(key);
        if (life == 1)
            used = vks_secret_arena_usage().used_bytes;
    }
    CHECK("nothing is left of keys",
          vks_secret_arena_usage().used_bytes <= used + (kind->function >= VKS_ENGINE_RSA_2048_SIGN ? 4096 : 0));
    vks_secret_free(material);
}

static uint32_t skipped;

static void test_kind(const struct kind *kind)
{
    struct vks_key *keys[KEYS];
    size_t used;

    for (uint32_t i = 0; i < KEYS; i++) {
        if (kind->op == VKS_OP_MAC && i == 2)
            keys[i] = long_hmac_key();
        else if (kind->keys && i >= kind->keys)
            vks_key_ref(keys[i] = keys[0]);
        else
            keys[i] = fresh_key(kind->type);
    }
    test_without(kind, keys);
    if (vks_engine_serves(kind->function)) {
        test_class(kind, keys[0]);
        test_counts(kind, keys);
        test_bad_neighbour(kind, keys);
        used = vks_secret_arena_usage().used_bytes;
        test_counts(kind, keys);
        test_bad_neighbour(kind, keys);
        /* libcrypto's numbers of RSA grow to the largest that they had to hold; hundreds of operations do not. */
        CHECK("nothing is left",
              vks_secret_arena_usage().used_bytes <= used + (kind->function >= VKS_ENGINE_RSA_2048_SIGN ? 4096 : 0));
        if (kind->type == VKS_KEY_TYPE_EC_P256) {
            test_nonces(kind, keys[0]);
            test_large_digest(kind, keys);
        }
        if (kind->type == VKS_KEY_TYPE_X25519)
            test_low_order(kind, keys);
        if (kind->type == VKS_KEY_TYPE_RSA_2048)
            test_blinding(kind, keys[0]);
        test_failing_lane(kind, keys);
        if (kind->keys != 1)
            test_key_life(kind);
    } else {
        fprintf(stderr, "skipped: %s, no library serves it here\n", kind->name);
        skipped++;
    }
    for (uint32_t i = 0; i < KEYS; i++)
        vks_key_unref(keys[i]);
}

static int all(void *argument)
{
    (void)argument;
    vks_engines_open();
    vks_engines_allow(UINT32_MAX);
    fill_messages();
    for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
        test_kind(&kinds[i]);
    test_odd_rsa();
    test_no_batch();
    test_in_token();
    return 0;
}

int main(void)
{
    CHECK_EQUAL("start", vks_crypto_start(), 0);
    CHECK_EQUAL("all", vks_secret_call(all, NULL), 0);
    return skipped ? SKIP : 0;
}
