/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Known answers of X25519: RFC 7748, 5.2, in the first lanes, the second with a bit set that is to be masked; all must
 * be what libcrypto agrees on.
 */
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <string.h>

#include "engine_crypto_mb.h"

enum {
    KEY_BYTES = 32,
    KNOWN = 2,
};

static const struct {
    const char *private, *peer, *shared;
} known[KNOWN] = {
    {"a546e36bf0527c9d3b16154b82465edd62144c0ac1fc5a18506a2244ba449ac4",
     "e6db6867583030db3594c1a424b15f7c726624ec26b3353b10a903a6d0ab1c4c",
     "c3da55379de9c6908e94ea4df28d084f32eccf03491c71f754b4075577a28552"},
    {"4b66e9d4d1b4673c5ad22691957d6af5c11b6421e0ea01d42ca4169e7918ba0d",
     "e5210f12786811d3f4b7959d0538ae2c31dbe7106fc03c3efc4cd549c715a493",
     "95cbde9476e8907d7aade45cb4b873f88b595a68799fa152e6f8f7647aac7957"},
};

struct lane {
    uint8_t private[KEY_BYTES];
    uint8_t peer[KEY_BYTES];
    uint8_t want[KEY_BYTES];
    uint8_t got[KEY_BYTES];
};

static bool from_hex(const char *hex, uint8_t bytes[KEY_BYTES])
{
    size_t count;

    return OPENSSL_hexstr2buf_ex(bytes, KEY_BYTES, &count, hex, '\0') == 1 && count == KEY_BYTES;
}

static bool agree(struct lane *lane)
{
    EVP_PKEY *own = EVP_PKEY_new_raw_private_key_ex(NULL, "X25519", NULL, lane->private, KEY_BYTES);
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, lane->peer, KEY_BYTES);
    EVP_PKEY_CTX *context = own ? EVP_PKEY_CTX_new_from_pkey(NULL, own, NULL) : NULL;
    size_t shared_bytes = KEY_BYTES;
    bool done = context && peer && EVP_PKEY_derive_init(context) == 1 &&
                EVP_PKEY_derive_set_peer_ex(context, peer, 0) == 1 &&
                EVP_PKEY_derive(context, lane->want, &shared_bytes) == 1;

    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    EVP_PKEY_free(own);
    return done;
}

static bool lane_prepare(struct lane *lane, uint32_t index)
{
    uint8_t shared[KEY_BYTES];

    for (uint32_t i = 0; i < KEY_BYTES; i++) {
        lane->private[i] = (uint8_t)(i * 11 + index * 59);
        lane->peer[i] = (uint8_t)(i * i * 3 + index * 83);
    }
    if (index >= KNOWN)
        return agree(lane);
    return from_hex(known[index].private, lane->private) && from_hex(known[index].peer, lane->peer) &&
           from_hex(known[index].shared, shared) && agree(lane) && memcmp(lane->want, shared, KEY_BYTES) == 0;
}

bool vks_crypto_mb_check_x25519(enum vks_engine_function function)
{
    static struct lane lanes[CRYPTO_MB_LANES];
    const uint8_t *privates[CRYPTO_MB_LANES], *peers[CRYPTO_MB_LANES];
    uint8_t *shared[CRYPTO_MB_LANES];
    bool right = true;

    for (uint32_t i = 0; i < CRYPTO_MB_LANES && right; i++) {
        right = lane_prepare(&lanes[i], i);
        privates[i] = lanes[i].private;
        peers[i] = lanes[i].peer;
        memset(lanes[i].got, 0, KEY_BYTES);
        shared[i] = lanes[i].got;
    }
    right = right && vks_crypto_mb.x25519(shared, privates, peers) == 0;
    for (uint32_t i = 0; i < CRYPTO_MB_LANES && right; i++)
        right = memcmp(lanes[i].got, lanes[i].want, KEY_BYTES) == 0;
    return right;
}
