/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers of libipsec-mb: AES-GCM of many lengths as libcrypto has it; HMAC-SHA-256 of RFC 4231, 4.2 and 4.3, and
 * as libcrypto has it, in bursts of every size.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>
#include <string.h>

#include "algorithm.h"
#include "engine_ipsec_mb.h"
#include "gcm_engine.h"
#include "hmac_states.h"

enum {
    TEXT_BYTES_MAX = 5000,
    TAG_BYTES = 16,
    NONCE_BYTES = 12,
    KEY_BYTES_MAX = 32,
};

/* Text, associated data: around blocks, and where wider code takes over. */
static const struct {
    uint32_t text_bytes, aad_bytes;
} lengths[] = {
    {0, 0},   {0, 1},   {1, 0},    {15, 12},   {16, 16},  {17, 20},   {63, 63},     {64, 0},
    {65, 65}, {127, 3}, {128, 13}, {255, 128}, {256, 16}, {777, 300}, {4096, 4096}, {TEXT_BYTES_MAX, 17},
};

static bool libcrypto_encrypt(const uint8_t *key, uint32_t key_bytes, const uint8_t *nonce, const uint8_t *aad,
                              uint32_t aad_bytes, const uint8_t *text, uint32_t text_bytes, uint8_t *sealed)
{
    EVP_CIPHER_CTX *context = EVP_CIPHER_CTX_new();
    int done = 0;
    bool right = context &&
                 EVP_EncryptInit_ex2(context, vks_cipher(VKS_CIPHER_GCM, key_bytes), key, nonce, NULL) == 1 &&
                 EVP_EncryptUpdate(context, NULL, &done, aad, (int)aad_bytes) == 1 &&
                 EVP_EncryptUpdate(context, sealed, &done, text, (int)text_bytes) == 1 &&
                 EVP_EncryptFinal_ex(context, sealed + text_bytes, &done) == 1 &&
                 EVP_CIPHER_CTX_ctrl(context, EVP_CTRL_AEAD_GET_TAG, TAG_BYTES, sealed + text_bytes) == 1;

    EVP_CIPHER_CTX_free(context);
    return right;
}

static bool check_gcm_size(uint32_t key_bytes)
{
    static uint8_t text[TEXT_BYTES_MAX], want[TEXT_BYTES_MAX + TAG_BYTES], got[TEXT_BYTES_MAX + TAG_BYTES],
        back[TEXT_BYTES_MAX];
    void *memory = OPENSSL_zalloc(vks_ipsec_mb.gcm_key_bytes + IPSEC_MB_ALIGNMENT);
    struct gcm_key_data *expanded = memory ? vks_ipsec_mb_align(memory) : NULL;
    uint8_t key[KEY_BYTES_MAX], nonce[NONCE_BYTES];
    bool right = memory != NULL;

    for (uint32_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]) && right; i++) {
        uint32_t text_bytes = lengths[i].text_bytes, aad_bytes = lengths[i].aad_bytes;

        for (uint32_t byte = 0; byte < TEXT_BYTES_MAX; byte++)
            text[byte] = (uint8_t)(byte * 5 + byte / 256 + i);
        memset(key, (int)(0x11 * i + key_bytes), sizeof(key));
        memset(nonce, (int)(0xa0 + i), sizeof(nonce));
        vks_ipsec_mb.gcm_expand[key_bytes / 32](key, expanded);
        vks_gcm_engine_encrypt(expanded, key_bytes, nonce, text + 1, aad_bytes, text, text_bytes, got);
        right = libcrypto_encrypt(key, key_bytes, nonce, text + 1, aad_bytes, text, text_bytes, want) &&
                memcmp(got, want, text_bytes + TAG_BYTES) == 0 &&
                vks_gcm_engine_decrypt(expanded, key_bytes, nonce, text + 1, aad_bytes, got, text_bytes, back) &&
                memcmp(back, text, text_bytes) == 0;
        got[(text_bytes + TAG_BYTES) / 2] ^= 1;
        right =
            right && !vks_gcm_engine_decrypt(expanded, key_bytes, nonce, text + 1, aad_bytes, got, text_bytes, back);
    }
    OPENSSL_free(memory);
    return right;
}

bool vks_ipsec_mb_check_gcm(void)
{
    return check_gcm_size(16) && check_gcm_size(32);
}

/* RFC 4231, test cases 1 and 2. */
static const struct {
    const char *key, *message, *tag;
} known[] = {
    {"\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b\x0b", "Hi There",
     "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"},
    {"Jefe", "what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"},
};

static const uint32_t hmac_key_bytes[IPSEC_MB_BURST_MAX] = {20, 4, 32, 63, 64, 65, 131, 14};
static const uint32_t hmac_message_bytes[IPSEC_MB_BURST_MAX] = {8, 28, 1, 55, 56, 64, 119, 1024};

struct hmac_case {
    uint8_t key[131];
    uint8_t message[1024];
    uint8_t states[2 * IPSEC_MB_HMAC_STATE_BYTES];
    uint8_t want[IPSEC_MB_HMAC_BYTES];
    uint8_t got[IPSEC_MB_HMAC_BYTES];
};

static bool hmac_prepare(struct hmac_case *of, uint32_t index)
{
    uint8_t tag[IPSEC_MB_HMAC_BYTES];
    size_t tag_bytes;
    bool ready;

    for (uint32_t i = 0; i < sizeof(of->message); i++)
        of->message[i] = (uint8_t)(i * 13 + index);
    memset(of->key, (int)(0x5a + index), sizeof(of->key));
    if (index < sizeof(known) / sizeof(known[0])) {
        memcpy(of->key, known[index].key, hmac_key_bytes[index]);
        memcpy(of->message, known[index].message, hmac_message_bytes[index]);
    }
    ready = HMAC(vks_hash_md(VKS_HASH_SHA256), of->key, (int)hmac_key_bytes[index], of->message,
                 hmac_message_bytes[index], of->want, NULL) &&
            vks_hmac_states(of->key, hmac_key_bytes[index], VKS_LANE_FAST, of->states);
    if (!ready || index >= sizeof(known) / sizeof(known[0]))
        return ready;
    return OPENSSL_hexstr2buf_ex(tag, sizeof(tag), &tag_bytes, known[index].tag, '\0') == 1 &&
           memcmp(tag, of->want, sizeof(tag)) == 0;
}

bool vks_ipsec_mb_check_hmac(void *manager)
{
    static struct hmac_case cases[IPSEC_MB_BURST_MAX];
    struct ipsec_mb_hmac messages[IPSEC_MB_BURST_MAX];
    bool right = true;

    for (uint32_t i = 0; i < IPSEC_MB_BURST_MAX && right; i++) {
        right = hmac_prepare(&cases[i], i);
        messages[i] = (struct ipsec_mb_hmac){cases[i].states, cases[i].states + IPSEC_MB_HMAC_STATE_BYTES,
                                             cases[i].message, hmac_message_bytes[i], cases[i].got};
    }
    for (uint32_t count = 1; count <= IPSEC_MB_BURST_MAX && right; count++) {
        const struct ipsec_mb_hmac *from = messages + IPSEC_MB_BURST_MAX - count;

        for (uint32_t i = 0; i < IPSEC_MB_BURST_MAX; i++)
            memset(cases[i].got, 0, sizeof(cases[i].got));
        right = vks_ipsec_mb.hmac_sha256(manager, from, count);
        for (uint32_t i = IPSEC_MB_BURST_MAX - count; i < IPSEC_MB_BURST_MAX && right; i++)
            right = memcmp(cases[i].got, cases[i].want, sizeof(cases[i].got)) == 0;
    }
    return right;
}
