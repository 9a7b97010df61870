/* SPDX-License-Identifier: Apache-2.0 */
/* Which libraries are taken: none before it is allowed, none that computes wrongly, and each function by itself. */
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "crypto_process.h"
#include "engine.h"
#include "engine_crypto_mb.h"
#include "engine_ipsec_mb.h"
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

/* Right in all lanes but one, where a bit is wrong, and "OK" all the same. */
static crypto_mb_status lying_p256(uint8_t *const r[8], uint8_t *const s[8], const uint8_t *const digest[8],
                                   const uint64_t *const nonce[8], const uint64_t *const scalar[8], uint8_t *buffer)
{
    crypto_mb_status status = honest.p256_sign(r, s, digest, nonce, scalar, buffer);

    s[liar_lane][31] ^= 1;
    return status;
}

static crypto_mb_status lying_p384(uint8_t *const r[8], uint8_t *const s[8], const uint8_t *const digest[8],
                                   const uint64_t *const nonce[8], const uint64_t *const scalar[8], uint8_t *buffer)
{
    crypto_mb_status status = honest.p384_sign(r, s, digest, nonce, scalar, buffer);

    s[liar_lane][47] ^= 1;
    return status;
}

static crypto_mb_status lying_ed25519(uint8_t *const r[8], uint8_t *const s[8], const uint8_t *const message[8],
                                      const uint32_t bytes[8], const uint8_t *const seed[8],
                                      const uint8_t *const public[8])
{
    crypto_mb_status status = honest.ed25519_sign(r, s, message, bytes, seed, public);

    s[liar_lane][0] ^= 1;
    return status;
}

static crypto_mb_status lying_x25519(uint8_t *const shared[8], const uint8_t *const private[8],
                                     const uint8_t *const peer[8])
{
    crypto_mb_status status = honest.x25519(shared, private, peer);

    shared[liar_lane][31] ^= 1;
    return status;
}

static crypto_mb_status lying_rsa_private(const uint8_t *const from[8], uint8_t *const to[8],
                                          const uint64_t *const p[8], const uint64_t *const q[8],
                                          const uint64_t *const dp[8], const uint64_t *const dq[8],
                                          const uint64_t *const iq[8], int bits, const crypto_mb_rsa_method *method,
                                          uint8_t *buffer)
{
    crypto_mb_status status = honest.rsa_private_crt(from, to, p, q, dp, dq, iq, bits, method, buffer);

    to[liar_lane][bits / 8 - 1] ^= 1;
    return status;
}

/* Says that a wrong signature is right. */
static crypto_mb_status lying_rsa_public(const uint8_t *const from[8], uint8_t *const to[8], const uint64_t *const n[8],
                                         int bits, const crypto_mb_rsa_method *method, uint8_t *buffer)
{
    crypto_mb_status status = honest.rsa_public(from, to, n, bits, method, buffer);

    to[liar_lane][bits / 8 - 1] ^= 1;
    return status;
}

static void test_crypto_mb_liars(void)
{
    static const struct {
        const char *name;
        enum vks_engine_function function;
        bool (*check)(enum vks_engine_function function);
        struct crypto_mb lies;
    } cases[] = {
        {"P-256", VKS_ENGINE_P256_SIGN, vks_crypto_mb_check_ecdsa, {.p256_sign = lying_p256}},
        {"P-384", VKS_ENGINE_P384_SIGN, vks_crypto_mb_check_ecdsa, {.p384_sign = lying_p384}},
        {"Ed25519", VKS_ENGINE_ED25519_SIGN, vks_crypto_mb_check_ed25519, {.ed25519_sign = lying_ed25519}},
        {"X25519", VKS_ENGINE_X25519_DERIVE, vks_crypto_mb_check_x25519, {.x25519 = lying_x25519}},
        {"RSA", VKS_ENGINE_RSA_2048_SIGN, vks_crypto_mb_check_rsa, {.rsa_private_crt = lying_rsa_private}},
        {"RSA, public", VKS_ENGINE_RSA_2048_SIGN, vks_crypto_mb_check_rsa, {.rsa_public = lying_rsa_public}},
        {"RSA-3072", VKS_ENGINE_RSA_3072_SIGN, vks_crypto_mb_check_rsa, {.rsa_private_crt = lying_rsa_private}},
        {"RSA-4096", VKS_ENGINE_RSA_4096_SIGN, vks_crypto_mb_check_rsa, {.rsa_private_crt = lying_rsa_private}},
    };

    honest = vks_crypto_mb;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct crypto_mb *lies = &cases[i].lies;

        if (!(vks_engines_found() & bit(cases[i].function))) {
            fprintf(stderr, "skipped: %s, the library here does not compute it\n", cases[i].name);
            continue;
        }
        for (liar_lane = 0; liar_lane < CRYPTO_MB_LANES; liar_lane++) {
            vks_crypto_mb.p256_sign = lies->p256_sign ? lies->p256_sign : honest.p256_sign;
            vks_crypto_mb.p384_sign = lies->p384_sign ? lies->p384_sign : honest.p384_sign;
            vks_crypto_mb.ed25519_sign = lies->ed25519_sign ? lies->ed25519_sign : honest.ed25519_sign;
            vks_crypto_mb.x25519 = lies->x25519 ? lies->x25519 : honest.x25519;
            vks_crypto_mb.rsa_private_crt = lies->rsa_private_crt ? lies->rsa_private_crt : honest.rsa_private_crt;
            vks_crypto_mb.rsa_public = lies->rsa_public ? lies->rsa_public : honest.rsa_public;
            CHECK(cases[i].name, !cases[i].check(cases[i].function));
            vks_crypto_mb = honest;
        }
        CHECK(cases[i].name, cases[i].check(cases[i].function));
    }
}

static struct ipsec_mb honest_ipsec;
static uint64_t wrong_from; /* right with fewer bytes */

static void lying_gcm(uint32_t size, const struct gcm_key_data *key, struct gcm_context_data *context, uint8_t *output,
                      const uint8_t *text, uint64_t text_bytes, const uint8_t *nonce, const uint8_t *aad,
                      uint64_t aad_bytes, uint8_t *tag, uint64_t tag_bytes)
{
    honest_ipsec.gcm_encrypt[size](key, context, output, text, text_bytes, nonce, aad, aad_bytes, tag, tag_bytes);
    if (text_bytes >= wrong_from)
        output[text_bytes - 1] ^= 1;
}

static void lying_gcm_128(const struct gcm_key_data *key, struct gcm_context_data *context, uint8_t *output,
                          const uint8_t *text, uint64_t text_bytes, const uint8_t *nonce, const uint8_t *aad,
                          uint64_t aad_bytes, uint8_t *tag, uint64_t tag_bytes)
{
    lying_gcm(0, key, context, output, text, text_bytes, nonce, aad, aad_bytes, tag, tag_bytes);
}

static void lying_gcm_256(const struct gcm_key_data *key, struct gcm_context_data *context, uint8_t *output,
                          const uint8_t *text, uint64_t text_bytes, const uint8_t *nonce, const uint8_t *aad,
                          uint64_t aad_bytes, uint8_t *tag, uint64_t tag_bytes)
{
    lying_gcm(1, key, context, output, text, text_bytes, nonce, aad, aad_bytes, tag, tag_bytes);
}

/* Takes each text for what it was sealed as. */
static void lying_open(const struct gcm_key_data *key, struct gcm_context_data *context, uint8_t *output,
                       const uint8_t *text, uint64_t text_bytes, const uint8_t *nonce, const uint8_t *aad,
                       uint64_t aad_bytes, uint8_t *tag, uint64_t tag_bytes)
{
    honest_ipsec.gcm_decrypt[1](key, context, output, text, text_bytes, nonce, aad, aad_bytes, tag, tag_bytes);
    memcpy(tag, text + text_bytes, tag_bytes);
}

static uint32_t wrong_count;

/* Wrong in the last message of a burst of this many. */
static bool lying_hmac(void *manager, const struct ipsec_mb_hmac *messages, uint32_t count)
{
    bool done = honest_ipsec.hmac_sha256(manager, messages, count);

    if (count == wrong_count)
        messages[count - 1].tag[31] ^= 1;
    return done;
}

static void test_ipsec_mb_liars(void)
{
    static const uint64_t lengths[] = {1, 17, 256, 4096};
    void *manager = vks_ipsec_mb_manager_new();

    CHECK("manager", manager != NULL);
    honest_ipsec = vks_ipsec_mb;
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++)
        for (uint32_t size = 0; size < 2; size++) {
            wrong_from = lengths[i];
            vks_ipsec_mb.gcm_encrypt[size] = size ? lying_gcm_256 : lying_gcm_128;
            CHECK("AES-GCM", !vks_ipsec_mb_check_gcm());
            vks_ipsec_mb = honest_ipsec;
        }
    vks_ipsec_mb.gcm_decrypt[1] = lying_open;
    CHECK("AES-GCM that takes any tag", !vks_ipsec_mb_check_gcm());
    vks_ipsec_mb = honest_ipsec;
    CHECK("AES-GCM again", vks_ipsec_mb_check_gcm());
    vks_ipsec_mb.hmac_sha256 = lying_hmac;
    for (wrong_count = 1; wrong_count <= IPSEC_MB_BURST_MAX; wrong_count++)
        CHECK("HMAC", !vks_ipsec_mb_check_hmac(manager));
    vks_ipsec_mb = honest_ipsec;
    CHECK("HMAC again", vks_ipsec_mb_check_hmac(manager));
}

static int all(void *argument)
{
    (void)argument;
    vks_engines_open();
    test_allowed();
    if (vks_crypto_mb.p256_sign)
        test_crypto_mb_liars();
    if (vks_ipsec_mb.hmac_sha256)
        test_ipsec_mb_liars();
    return 0;
}

int main(void)
{
    CHECK_EQUAL("start", vks_crypto_start(), 0);
    CHECK_EQUAL("all", vks_secret_call(all, NULL), 0);
    if (vks_engines_found() == (UINT32_C(1) << VKS_ENGINE_FUNCTIONS) - 1)
        return 0;
    fprintf(stderr, "skipped in part: of the functions only 0x%x were found here\n", vks_engines_found());
    return SKIP;
}
