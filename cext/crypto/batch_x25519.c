/* SPDX-License-Identifier: Apache-2.0 */
/*
 * X25519 side by side (RFC 7748, 5). A result of zeros, which a point of low order gives, is left to libcrypto, which
 * refuses it. Dead lanes do what the first one does.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "batch_private.h"
#include "engine_crypto_mb.h"

enum {
    KEY_BYTES = 32,
};

static bool make_private(const struct vks_key *key, enum vks_lane lane, uint8_t *private)
{
    size_t private_bytes = KEY_BYTES;

    return EVP_PKEY_get_raw_private_key(key->pkey, private, &private_bytes) == 1 && private_bytes == KEY_BYTES;
}

static bool is_zero(const uint8_t secret[KEY_BYTES])
{
    static const uint8_t zero[KEY_BYTES];

    return CRYPTO_memcmp(secret, zero, KEY_BYTES) == 0;
}

void vks_batch_x25519(struct vks_batch_work *work, uint32_t count, enum vks_lane lane)
{
    const uint8_t *privates[VKS_BATCH_LANES], *peers[VKS_BATCH_LANES];
    uint8_t secrets[VKS_BATCH_LANES][KEY_BYTES];
    uint8_t *shared[VKS_BATCH_LANES];
    crypto_mb_status status;

    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        const struct vks_batch_work *from = &work[i < count ? i : 0];

        privates[i] = vks_key_engine_part(from->key, lane, KEY_BYTES, make_private);
        if (privates[i] == NULL)
            return;
        peers[i] = from->operation->parameter;
        shared[i] = secrets[i];
    }
    status = vks_crypto_mb.x25519(shared, privates, peers);
    for (uint32_t i = 0; i < count; i++) {
        if (!vks_crypto_mb_lane_ok(status, i) || is_zero(secrets[i]))
            continue;
        memcpy(work[i].operation->output, secrets[i], KEY_BYTES);
        work[i].operation->output_bytes = KEY_BYTES;
        work[i].done = true;
    }
    OPENSSL_cleanse(secrets, sizeof(secrets));
}
