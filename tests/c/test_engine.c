/* SPDX-License-Identifier: Apache-2.0 */
/* Which libraries are taken: none before it is allowed, none that computes wrongly, and each function by itself. */
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "crypto_process.h"
#include "engine.h"
#include "engine_crypto_mb.h"
#include "secret_stack.h"

enum {
    SKIP = 77, /* meson: skipped */
};

static uint32_t bit(enum vks_engine_function function)
{
    return UINT32_C(1) << function;
}

static void test_allowed(void)
{
    uint32_t found = vks_engines_found();

    for (int function = 0; function < VKS_ENGINE_FUNCTIONS; function++)
        CHECK("none before it is allowed", !vks_engine_serves(function));
    vks_engines_allow(UINT32_MAX);
    for (int function = 0; function < VKS_ENGINE_FUNCTIONS; function++)
        CHECK_EQUAL("what was found", vks_engine_serves(function), found >> function & 1);
    for (int function = 0; function < VKS_ENGINE_FUNCTIONS; function++) {
        vks_engines_allow(bit(function));
        for (int other = 0; other < VKS_ENGINE_FUNCTIONS; other++)
            CHECK_EQUAL("one by one", vks_engine_serves(other), other == function && (found >> other & 1));
    }
    vks_engines_allow(0);
    CHECK("none again", !vks_engine_serves(VKS_ENGINE_P256_SIGN));
}

static struct crypto_mb honest;
static int liar_lane;

/* Right in all lanes but one, where a bit of s is wrong, and "OK" all the same. */
static crypto_mb_status lying_ecdsa(uint8_t *const r[8], uint8_t *const s[8], const uint8_t *const digest[8],
                                    const uint64_t *const nonce[8], const uint64_t *const scalar[8], uint8_t *buffer)
{
    crypto_mb_status status = honest.p256_sign(r, s, digest, nonce, scalar, buffer);

    s[liar_lane][31] ^= 1;
    return status;
}

static void test_liars(void)
{
    honest = vks_crypto_mb;
    for (liar_lane = 0; liar_lane < CRYPTO_MB_LANES; liar_lane++) {
        vks_crypto_mb.p256_sign = lying_ecdsa;
        CHECK("a wrong lane of P-256", !vks_crypto_mb_check_ecdsa(VKS_ENGINE_P256_SIGN));
        vks_crypto_mb = honest;
    }
    CHECK("right again", vks_crypto_mb_check_ecdsa(VKS_ENGINE_P256_SIGN));
}

static int all(void *argument)
{
    (void)argument;
    vks_engines_open();
    test_allowed();
    if (vks_engines_found() & bit(VKS_ENGINE_P256_SIGN))
        test_liars();
    return 0;
}

int main(void)
{
    CHECK_EQUAL("start", vks_crypto_start(), 0);
    CHECK_EQUAL("all", vks_secret_call(all, NULL), 0);
    if (vks_engines_found())
        return 0;
    fprintf(stderr, "no library of ours to be, or a processor that none suits\n");
    return SKIP;
}
