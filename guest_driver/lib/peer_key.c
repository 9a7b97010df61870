/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Public keys for key agreement out of SubjectPublicKeyInfo (RFC 5280, 4.1.2.7), as P-256 and P-384 (RFC 5480) and
 * X25519 (RFC 8410) have it in DER. Everything in front of the key has a fixed form: it is compared, not parsed.
 */
#include <errno.h>
#include <string.h>

#include "vks.h"

#define POINT_UNCOMPRESSED 0x04 /* SEC 1, 2.3.3 */

/* SEQUENCE, AlgorithmIdentifier, and the head of a BIT STRING without unused bits. */
static const uint8_t p256_front[] = {0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01,
                                     0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00};
static const uint8_t p384_front[] = {0x30, 0x76, 0x30, 0x10, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02,
                                     0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22, 0x03, 0x62, 0x00};
static const uint8_t x25519_front[] = {0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x6e, 0x03, 0x21, 0x00};

static const struct {
    uint32_t type;
    const uint8_t *front;
    size_t front_size;
    size_t key_size;
} forms[] = {
    {VKS_KEY_TYPE_EC_P256, p256_front, sizeof(p256_front), 65},
    {VKS_KEY_TYPE_EC_P384, p384_front, sizeof(p384_front), 97},
    {VKS_KEY_TYPE_X25519, x25519_front, sizeof(x25519_front), 32},
};

int vks_peer_from_der(struct vks_bytes der, uint32_t *type, struct vks_bytes *peer)
{
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        const uint8_t *key;

        if (der.size != forms[i].front_size + forms[i].key_size ||
            memcmp(der.data, forms[i].front, forms[i].front_size) != 0)
            continue;
        key = (const uint8_t *)der.data + forms[i].front_size;
        if (forms[i].type != VKS_KEY_TYPE_X25519 && key[0] != POINT_UNCOMPRESSED)
            return -EINVAL;
        *type = forms[i].type;
        *peer = (struct vks_bytes){key, forms[i].key_size};
        return 0;
    }
    return -EINVAL;
}
