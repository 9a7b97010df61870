/* SPDX-License-Identifier: Apache-2.0 */
/* Ed25519 signatures side by side (RFC 8032, 5.1.6). Dead lanes sign nothing, with the first one's key. */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "batch_private.h"
#include "engine_crypto_mb.h"

enum {
    KEY_BYTES = 32,
    SIGNATURE_BYTES = 64,
};

struct halves {
    uint8_t seed[KEY_BYTES];
    uint8_t public[KEY_BYTES];
};

/* The public half is always the key's own: another one would give it away. */
static bool make_halves(const struct vks_key *key, enum vks_lane lane, uint8_t *block)
{
    struct halves *halves = (struct halves *)(void *)block;
    size_t seed_bytes = KEY_BYTES, public_bytes = KEY_BYTES;

    return EVP_PKEY_get_raw_private_key(key->pkey, halves->seed, &seed_bytes) == 1 && seed_bytes == KEY_BYTES &&
           EVP_PKEY_get_raw_public_key(key->pkey, halves->public, &public_bytes) == 1 && public_bytes == KEY_BYTES;
}

static const struct halves *halves_of(struct vks_key *key, enum vks_lane lane)
{
    return (const struct halves *)(void *)vks_key_engine_part(key, lane, sizeof(struct halves), make_halves);
}

void vks_batch_ed25519(struct vks_batch_work *work, uint32_t count, enum vks_lane lane)
{
    static const uint8_t nothing[1];
    const uint8_t *messages[VKS_BATCH_LANES], *seeds[VKS_BATCH_LANES], *publics[VKS_BATCH_LANES];
    uint8_t signatures[VKS_BATCH_LANES][SIGNATURE_BYTES];
    uint8_t *r[VKS_BATCH_LANES], *s[VKS_BATCH_LANES];
    uint32_t message_bytes[VKS_BATCH_LANES];
    crypto_mb_status status;

    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        const struct vks_operation *operation = i < count ? work[i].operation : NULL;
        const struct halves *halves = halves_of(work[i < count ? i : 0].key, lane);

        if (halves == NULL)
            return;
        seeds[i] = halves->seed;
        publics[i] = halves->public;
        message_bytes[i] = operation ? operation->input_bytes : 0;
        messages[i] = message_bytes[i] ? operation->input : nothing;
        r[i] = signatures[i];
        s[i] = signatures[i] + SIGNATURE_BYTES / 2;
    }
    status = vks_crypto_mb.ed25519_sign(r, s, messages, message_bytes, seeds, publics);
    for (uint32_t i = 0; i < count; i++) {
        if (!vks_crypto_mb_lane_ok(status, i))
            continue;
        memcpy(work[i].operation->output, signatures[i], SIGNATURE_BYTES);
        work[i].operation->output_bytes = SIGNATURE_BYTES;
        work[i].done = true;
    }
    OPENSSL_cleanse(signatures, sizeof(signatures));
}
