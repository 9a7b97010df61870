/* SPDX-License-Identifier: Apache-2.0 */
/* The pool of nonces: off unless allowed, filled only where signatures want it, each half of a signature used once. */
#include "nonce_pool.h"

#include <string.h>

#include "check.h"
#include "crypto_process.h"
#include "engine.h"
#include "engine_crypto_mb.h"
#include "fresh_key.h"
#include "key_kind.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "vmm_keystore.h"

enum {
    SKIP = 77, /* meson: skipped */
    SIGNATURES = 3 * VKS_NONCE_POOL_MAX,
    HALF_BYTES = 32,
    SIGNATURE_BYTES = 64,
};

static const uint32_t EVERY_FUNCTION = UINT32_MAX;
static const uint32_t NONCES = 1U << VKS_ENGINE_P256_NONCES;

static crypto_mb_p256_sign_complete *complete;
static uint8_t seen[2 * SIGNATURES][HALF_BYTES];
static uint32_t seen_count;
static bool gives_up;
static bool skipped;

/* What the engine is given, once; where it gives up, it does so after it has seen the half. */
static crypto_mb_status spy(uint8_t *const r[CRYPTO_MB_LANES], uint8_t *const s[CRYPTO_MB_LANES],
                            const uint8_t *const digest[CRYPTO_MB_LANES], const uint64_t *const r_half[CRYPTO_MB_LANES],
                            const uint64_t *const inverse[CRYPTO_MB_LANES],
                            const uint64_t *const scalar[CRYPTO_MB_LANES], uint8_t *buffer)
{
    for (uint32_t i = 0; i < seen_count; i++)
        CHECK("a half is given once", memcmp(seen[i], inverse[0], HALF_BYTES) != 0);
    memcpy(seen[seen_count++], inverse[0], HALF_BYTES);
    return gives_up ? 1 : complete(r, s, digest, r_half, inverse, scalar, buffer);
}

/* Sign, and have libcrypto verify. */
static void sign(struct vks_key *key, uint32_t number, enum vks_lane lane)
{
    uint8_t message[4], signature[SIGNATURE_BYTES];
    struct vks_operation operation = {
        .op = VKS_OP_SIGN,
        .mechanism = VKS_MECHANISM_ECDSA_SHA256,
        .input = message,
        .input_bytes = sizeof(message),
        .output = signature,
        .output_bytes_max = sizeof(signature),
    };

    memcpy(message, &number, sizeof(message));
    CHECK_EQUAL("sign", vks_operation_run(key, &operation, lane), VKS_STATUS_OK);
    CHECK_EQUAL("length", operation.output_bytes, sizeof(signature));
    operation.op = VKS_OP_VERIFY;
    operation.parameter = signature;
    operation.parameter_bytes = sizeof(signature);
    CHECK_EQUAL("verify", vks_operation_run(key, &operation, lane), VKS_STATUS_OK);
}

static uint32_t fill(void)
{
    while (vks_nonce_pool_fill())
        ;
    return vks_nonce_pool_count();
}

static void when_not_allowed(struct vks_key *key)
{
    vks_engines_allow(EVERY_FUNCTION & ~NONCES);
    sign(key, 1, VKS_LANE_FAST);
    CHECK_EQUAL("none is made", fill(), 0);
    vks_engines_allow(EVERY_FUNCTION);
    CHECK_EQUAL("none was asked for", fill(), 0);
}

static void when_used(struct vks_key *key, struct vks_key *other)
{
    uint32_t before;

    sign(key, 2, VKS_LANE_FAST);
    CHECK("now they are", fill() > VKS_NONCE_POOL_MAX - CRYPTO_MB_LANES);
    before = vks_nonce_pool_count();
    for (uint32_t i = 0; i < 10; i++)
        sign(i % 2 ? key : other, i, VKS_LANE_FAST);
    CHECK_EQUAL("one a signature", vks_nonce_pool_count(), before - 10);
    sign(key, 3, VKS_LANE_SLOW);
    CHECK_EQUAL("none for the other lane", vks_nonce_pool_count(), before - 10);
    while (vks_nonce_pool_count())
        sign(key, vks_nonce_pool_count(), VKS_LANE_FAST);
    sign(key, 4, VKS_LANE_FAST);
    for (uint32_t i = 0; i < SIGNATURES / 2; i++) {
        sign(i % 3 ? key : other, i, VKS_LANE_FAST);
        if (i % 5 == 0)
            (void)vks_nonce_pool_fill();
    }
    CHECK("the engine was used", seen_count > SIGNATURES / 2);
}

static void when_the_engine_gives_up(struct vks_key *key)
{
    uint32_t before = fill();

    gives_up = true;
    for (uint32_t i = 0; i < 5; i++)
        sign(key, i, VKS_LANE_FAST);
    gives_up = false;
    CHECK_EQUAL("a half that was tried is gone", vks_nonce_pool_count(), before - 5);
    for (uint32_t i = 0; i < 5; i++)
        sign(key, i, VKS_LANE_FAST);
}

static int all(void *argument)
{
    struct vks_key *key, *other;

    (void)argument;
    vks_engines_open();
    if (!(vks_engines_found() & NONCES)) {
        skipped = true;
        return 0;
    }
    complete = vks_crypto_mb.p256_sign_complete;
    vks_crypto_mb.p256_sign_complete = spy;
    key = fresh_key(VKS_KEY_TYPE_EC_P256);
    other = fresh_key(VKS_KEY_TYPE_EC_P256);
    when_not_allowed(key);
    when_used(key, other);
    when_the_engine_gives_up(key);
    vks_key_unref(key);
    vks_key_unref(other);
    return 0;
}

int main(void)
{
    CHECK_EQUAL("start", vks_crypto_start(), 0);
    CHECK_EQUAL("all", vks_secret_call(all, NULL), 0);
    return skipped ? SKIP : 0;
}
