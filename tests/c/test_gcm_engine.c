/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM by libipsec-mb: what it seals libcrypto opens and the other way round, and nothing that is wrong gets out. */
#include <string.h>

#include "check.h"
#include "crypto_process.h"
#include "engine.h"
#include "engine_ipsec_mb.h"
#include "fresh_key.h"
#include "key_kind.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "operation.h"
#include "vmm_keystore.h"

enum {
    SKIP = 77, /* meson: skipped */
    OVERHEAD_BYTES = 28,
    TEXT_BYTES_MAX = VKS_OUTPUT_BYTES_MAX,
    CANARY = 0xc5,
};

static uint8_t text[TEXT_BYTES_MAX + 64];
static uint8_t sealed[TEXT_BYTES_MAX + OVERHEAD_BYTES];
static uint8_t opened[TEXT_BYTES_MAX + OVERHEAD_BYTES];

static uint32_t run(struct vks_key *key, struct vks_operation *operation, bool engine)
{
    vks_engines_allow(engine ? UINT32_MAX : 0);
    return vks_operation_run(key, operation, operation->input_bytes % 2 ? VKS_LANE_FAST : VKS_LANE_SLOW);
}

/* One seals, the other opens; nonces of the device and of the caller. */
static void check_crossed(struct vks_key *key, uint32_t text_bytes, uint32_t aad_bytes, bool engine_seals)
{
    struct vks_operation seal = {.op = VKS_OP_ENCRYPT,
                                 .mechanism = text_bytes % 3 ? VKS_MECHANISM_AES_GCM : VKS_MECHANISM_AES_GCM_OWN_NONCE,
                                 .aad = aad_bytes ? text + 5 : NULL,
                                 .aad_bytes = aad_bytes,
                                 .input = text_bytes ? text : NULL,
                                 .input_bytes = text_bytes,
                                 .output = sealed,
                                 .output_bytes_max = text_bytes + OVERHEAD_BYTES};
    struct vks_operation open = seal;

    if (seal.mechanism == VKS_MECHANISM_AES_GCM_OWN_NONCE) {
        seal.parameter = text + 7 + text_bytes % 32;
        seal.parameter_bytes = 12;
    }
    CHECK_EQUAL("seal", run(key, &seal, engine_seals), VKS_STATUS_OK);
    CHECK_EQUAL("sealed", seal.output_bytes, text_bytes + OVERHEAD_BYTES);
    open.op = VKS_OP_DECRYPT;
    open.input = sealed;
    open.input_bytes = seal.output_bytes;
    open.output = opened;
    open.output_bytes_max = text_bytes;
    memset(opened, CANARY, text_bytes + 16);
    CHECK_EQUAL("open", run(key, &open, !engine_seals), VKS_STATUS_OK);
    CHECK("the text", open.output_bytes == text_bytes && memcmp(opened, text, text_bytes) == 0);
    for (uint32_t i = 0; i < 16; i++)
        CHECK_EQUAL("nothing behind it", opened[text_bytes + i], CANARY);
}

static void test_crossed(uint32_t type)
{
    static const uint32_t long_ones[] = {767, 768, 769, 1024, 4095, 4096, 16384, TEXT_BYTES_MAX};
    struct vks_key *key = fresh_key(type);

    for (uint32_t bytes = 0; bytes <= 300; bytes++)
        for (int engine_seals = 0; engine_seals < 2; engine_seals++)
            check_crossed(key, bytes, bytes * 7 % 47, engine_seals);
    for (uint32_t aad_bytes = 0; aad_bytes <= 300; aad_bytes++)
        check_crossed(key, aad_bytes % 5, aad_bytes, aad_bytes % 2);
    for (size_t i = 0; i < sizeof(long_ones) / sizeof(long_ones[0]); i++)
        for (int engine_seals = 0; engine_seals < 2; engine_seals++)
            check_crossed(key, long_ones[i], 64, engine_seals);
    vks_key_unref(key);
}

/* A bit of nonce, ciphertext, tag or associated data: refused, and not a byte of the text. */
static void test_tampered(uint32_t type)
{
    struct vks_key *key = fresh_key(type);
    uint8_t aad[20] = {1};
    struct vks_operation seal = {.op = VKS_OP_ENCRYPT,
                                 .mechanism = VKS_MECHANISM_AES_GCM,
                                 .aad = aad,
                                 .aad_bytes = sizeof(aad),
                                 .input = text,
                                 .input_bytes = 100,
                                 .output = sealed,
                                 .output_bytes_max = sizeof(sealed)};
    struct vks_operation open = seal;

    CHECK_EQUAL("seal", run(key, &seal, true), VKS_STATUS_OK);
    open.op = VKS_OP_DECRYPT;
    open.input = sealed;
    open.input_bytes = seal.output_bytes;
    open.output = opened;
    open.output_bytes_max = 100;
    for (uint32_t i = 0; i < seal.output_bytes + sizeof(aad); i++) {
        uint8_t *byte = i < seal.output_bytes ? &sealed[i] : &aad[i - seal.output_bytes];

        *byte ^= 0x20;
        memset(opened, CANARY, 100);
        CHECK_EQUAL("tampered", run(key, &open, true), VKS_STATUS_AUTH_FAILED);
        CHECK_EQUAL("no bytes", open.output_bytes, 0);
        for (uint32_t at = 0; at < 100; at++)
            CHECK_EQUAL("wiped", opened[at], 0);
        *byte ^= 0x20;
    }
    CHECK_EQUAL("as it was", run(key, &open, true), VKS_STATUS_OK);
    vks_key_unref(key);
}

/* A secret, and the same sealed, which libcrypto opens. */
static void test_data_key(void)
{
    struct vks_key *key = fresh_key(VKS_KEY_TYPE_AES_256);
    struct vks_operation make = {.op = VKS_OP_DATA_KEY,
                                 .mechanism = VKS_MECHANISM_AES_GCM,
                                 .aad = text,
                                 .aad_bytes = 3,
                                 .output = sealed,
                                 .output_bytes_max = 2 * 32 + OVERHEAD_BYTES};
    struct vks_operation open = {.op = VKS_OP_DECRYPT,
                                 .mechanism = VKS_MECHANISM_AES_GCM,
                                 .aad = text,
                                 .aad_bytes = 3,
                                 .input = sealed + 32,
                                 .input_bytes = 32 + OVERHEAD_BYTES,
                                 .output = opened,
                                 .output_bytes_max = 32};

    CHECK_EQUAL("data key", run(key, &make, true), VKS_STATUS_OK);
    CHECK_EQUAL("all of it", make.output_bytes, 2 * 32 + OVERHEAD_BYTES);
    CHECK_EQUAL("open", run(key, &open, false), VKS_STATUS_OK);
    CHECK("the secret", memcmp(opened, sealed, 32) == 0);
    vks_key_unref(key);
}

static struct ipsec_mb honest;
static uint32_t calls;

static void counting_encrypt(const struct gcm_key_data *key, struct gcm_context_data *context, uint8_t *output,
                             const uint8_t *input, uint64_t input_bytes, const uint8_t *nonce, const uint8_t *aad,
                             uint64_t aad_bytes, uint8_t *tag, uint64_t tag_bytes)
{
    CHECK("no NULL", output && input && aad);
    honest.gcm_encrypt[1](key, context, output, input, input_bytes, nonce, aad, aad_bytes, tag, tag_bytes);
    calls++;
}

/* Asked where it serves, and only there: other modes of the same key are libcrypto's. */
static void test_who_is_asked(void)
{
    static const uint32_t mechanisms[] = {VKS_MECHANISM_AES_GCM, VKS_MECHANISM_AES_CTR, VKS_MECHANISM_AES_CBC};
    struct vks_key *key = fresh_key(VKS_KEY_TYPE_AES_256);

    honest = vks_ipsec_mb;
    vks_ipsec_mb.gcm_encrypt[1] = counting_encrypt;
    for (int engine = 0; engine < 2; engine++)
        for (uint32_t i = 0; i < 3; i++) {
            struct vks_operation operation = {
                .op = VKS_OP_ENCRYPT, .mechanism = mechanisms[i], .output = sealed, .output_bytes_max = sizeof(sealed)};

            calls = 0;
            CHECK_EQUAL("encrypt nothing", run(key, &operation, engine), VKS_STATUS_OK);
            CHECK_EQUAL("asked", calls, engine && i == 0);
        }
    vks_ipsec_mb = honest;
    vks_key_unref(key);
}

static void test_key_life(void)
{
    size_t used;

    test_data_key();
    used = vks_secret_arena_usage().used_bytes;
    for (int life = 0; life < 10; life++)
        test_data_key();
    CHECK_EQUAL("nothing is left of keys", vks_secret_arena_usage().used_bytes, used);
}

static int all(void *argument)
{
    (void)argument;
    vks_engines_open();
    vks_engines_allow(UINT32_MAX);
    if (!vks_engine_serves(VKS_ENGINE_AES_GCM)) {
        fprintf(stderr, "skipped: no library for AES-GCM here\n");
        return SKIP;
    }
    for (uint32_t i = 0; i < sizeof(text); i++)
        text[i] = (uint8_t)(i * 3 + i / 256);
    test_crossed(VKS_KEY_TYPE_AES_128);
    test_crossed(VKS_KEY_TYPE_AES_256);
    test_tampered(VKS_KEY_TYPE_AES_128);
    test_tampered(VKS_KEY_TYPE_AES_256);
    test_data_key();
    test_who_is_asked();
    test_key_life();
    return 0;
}

int main(void)
{
    CHECK_EQUAL("start", vks_crypto_start(), 0);
    return vks_secret_call(all, NULL);
}
