/* SPDX-License-Identifier: Apache-2.0 */
/* Known answers of Ed25519: RFC 8032, 7.1, tests 1 to 3 in the first lanes; all must be what libcrypto signs. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "engine_crypto_mb.h"

enum {
    KEY_BYTES = 32,
    SIGNATURE_BYTES = 64,
    MESSAGE_BYTES_MAX = 1100,
    KNOWN = 3,
};

static const struct {
    const char *seed, *signature;
    uint8_t message[2];
} known[KNOWN] = {
    {"9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60",
     "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46bd25bf5f0595bbe24"
     "655141438e7a100b",
     {0}},
    {"4ccd089b28ff96da9db6c346ec114e0f5b8a319f35aba624da8cf6ed4fb8a6fb",
     "92a009a9f0d4cab8720e820b5f642540a2b27b5416503f8fb3762223ebdb69da085ac1e43e15996e458f3613d0f11d8c387b2eaeb4302aee"
     "b00d291612bb0c00",
     {0x72}},
    {"c5aa8df43f9f837bedb7442f31dcb7b166d38535076f094b85ce3a2e0b4458f7",
     "6291d657deec24024827e69c3abe01a30ce548a284743a445e3680d7db5ac3ac18ff9b538d16f290ae67f760984dc6594a7c15e9716ed28d"
     "c027beceea1ec40a",
     {0xaf, 0x82}},
};

/* Around the ends of SHA-512's blocks, before which 32 or 64 bytes are hashed too. */
static const uint32_t message_bytes[CRYPTO_MB_LANES] = {0, 1, 2, 47, 79, 111, 128, MESSAGE_BYTES_MAX};

struct lane {
    uint8_t seed[KEY_BYTES];
    uint8_t public[KEY_BYTES];
    uint8_t message[MESSAGE_BYTES_MAX];
    uint8_t want[SIGNATURE_BYTES];
    uint8_t got[SIGNATURE_BYTES];
};

static void set_inputs(struct lane *lane, uint32_t index)
{
    size_t seed_bytes;

    for (uint32_t i = 0; i < MESSAGE_BYTES_MAX; i++)
        lane->message[i] = (uint8_t)(i * 3 + index);
    for (uint32_t i = 0; i < KEY_BYTES; i++)
        lane->seed[i] = (uint8_t)(i * i * 5 + index * 37);
    if (index >= KNOWN)
        return;
    memcpy(lane->message, known[index].message, sizeof(known[index].message));
    (void)OPENSSL_hexstr2buf_ex(lane->seed, KEY_BYTES, &seed_bytes, known[index].seed, '\0');
}

static bool is_known(const uint8_t signature[SIGNATURE_BYTES], uint32_t index)
{
    uint8_t want[SIGNATURE_BYTES];
    size_t want_bytes;

    return OPENSSL_hexstr2buf_ex(want, sizeof(want), &want_bytes, known[index].signature, '\0') == 1 &&
           want_bytes == SIGNATURE_BYTES && memcmp(signature, want, SIGNATURE_BYTES) == 0;
}

static bool lane_prepare(struct lane *lane, uint32_t index)
{
    size_t public_bytes = KEY_BYTES, signature_bytes = SIGNATURE_BYTES;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    EVP_PKEY *pkey;
    bool done;

    set_inputs(lane, index);
    pkey = EVP_PKEY_new_raw_private_key_ex(NULL, "ED25519", NULL, lane->seed, KEY_BYTES);
    done = context && pkey && EVP_PKEY_get_raw_public_key(pkey, lane->public, &public_bytes) == 1 &&
           EVP_DigestSignInit(context, NULL, NULL, NULL, pkey) == 1 &&
           EVP_DigestSign(context, lane->want, &signature_bytes, lane->message, message_bytes[index]) == 1;
    EVP_PKEY_free(pkey);
    EVP_MD_CTX_free(context);
    return done && (index >= KNOWN || is_known(lane->want, index));
}

bool vks_crypto_mb_check_ed25519(enum vks_engine_function function)
{
    static struct lane lanes[CRYPTO_MB_LANES];
    const uint8_t *messages[CRYPTO_MB_LANES], *seeds[CRYPTO_MB_LANES], *publics[CRYPTO_MB_LANES];
    uint8_t *r[CRYPTO_MB_LANES], *s[CRYPTO_MB_LANES];
    bool right = true;

    for (uint32_t i = 0; i < CRYPTO_MB_LANES && right; i++) {
        memset(&lanes[i], 0, sizeof(lanes[i]));
        right = lane_prepare(&lanes[i], i);
        messages[i] = lanes[i].message;
        seeds[i] = lanes[i].seed;
        publics[i] = lanes[i].public;
        r[i] = lanes[i].got;
        s[i] = lanes[i].got + SIGNATURE_BYTES / 2;
    }
    right = right && vks_crypto_mb.ed25519_sign(r, s, messages, message_bytes, seeds, publics) == 0;
    for (uint32_t i = 0; i < CRYPTO_MB_LANES && right; i++)
        right = memcmp(lanes[i].got, lanes[i].want, SIGNATURE_BYTES) == 0;
    return right;
}
