/* SPDX-License-Identifier: Apache-2.0 */
/* Keys of HMAC-SHA-256 as states of the hash. */
#include "hmac_states.h"

#include <openssl/crypto.h>
#include <string.h>

#include "algorithm.h"

enum {
    BLOCK_BYTES = 64,
    INNER = 0x36,
    OUTER = 0x5c,
};

bool vks_hmac_states(const uint8_t *key, uint32_t key_bytes, enum vks_lane lane,
                     uint8_t states[2 * IPSEC_MB_HMAC_STATE_BYTES])
{
    uint8_t block[BLOCK_BYTES] = {0};
    uint8_t digest[VKS_HASH_BYTES_MAX];

    if (key_bytes > BLOCK_BYTES) {
        if (vks_hash_message(lane, VKS_HASH_SHA256, key, key_bytes, digest))
            return false;
        key = digest;
        key_bytes = vks_hash_bytes(VKS_HASH_SHA256);
    }
    memcpy(block, key, key_bytes);
    for (uint32_t i = 0; i < BLOCK_BYTES; i++)
        block[i] ^= INNER;
    vks_ipsec_mb.sha256_one_block(block, states);
    for (uint32_t i = 0; i < BLOCK_BYTES; i++)
        block[i] ^= INNER ^ OUTER;
    vks_ipsec_mb.sha256_one_block(block, states + IPSEC_MB_HMAC_STATE_BYTES);
    OPENSSL_cleanse(block, sizeof(block));
    OPENSSL_cleanse(digest, sizeof(digest));
    return true;
}
