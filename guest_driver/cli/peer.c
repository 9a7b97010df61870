/* SPDX-License-Identifier: BSD-3-Clause */
/* Which form a peer's key has shows at its first bytes or at its length: no two forms share both. */
#include <string.h>

#include "peer.h"

#define PEM_MARK      "-----"
#define PEM_BEGIN     "-----BEGIN PUBLIC KEY-----"
#define PEM_END       "-----END PUBLIC KEY-----"
#define DER_BYTES_MAX 120 /* P-384 */

/* Takes @text off the front of @from, where it stands there. */
static bool text_take(struct vks_bytes *from, const char *text)
{
    size_t size = strlen(text);

    if (from->size < size || memcmp(from->data, text, size) != 0)
        return false;
    *from = (struct vks_bytes){(const char *)from->data + size, from->size - size};
    return true;
}

static bool newline_take(struct vks_bytes *from)
{
    return text_take(from, "\n") || text_take(from, "\r\n");
}

/* The value of the digit in front, or -1. */
static int digit_take(struct vks_bytes *from)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const char *at = from->data;
    const char *found;

    /* strchr() would also find the NUL at the end. */
    if (from->size == 0 || *at == '\0' || (found = strchr(alphabet, *at)) == NULL)
        return -1;
    *from = (struct vks_bytes){at + 1, from->size - 1};
    return (int)(found - alphabet);
}

/*
 * Four digits, or fewer and padding, in front of @from: the bytes they stand for, behind @der; their number, or -1.
 * Bits that stand for nothing have to be zero (RFC 4648, 3.5), or one key would have several spellings.
 */
static int group_take(struct vks_bytes *from, uint8_t *der, size_t room)
{
    uint32_t group = 0;
    int digits = 0;
    int digit;
    int bytes;

    while (digits < 4 && (digit = digit_take(from)) >= 0) {
        group |= (uint32_t)digit << (18 - 6 * digits);
        digits++;
    }
    if (digits < 2 || (digits == 2 && !text_take(from, "==")) || (digits == 3 && !text_take(from, "=")))
        return -1;
    bytes = digits - 1;
    if (group & (0xffffffu >> 8 * bytes) || (size_t)bytes > room)
        return -1;
    for (int i = 0; i < bytes; i++)
        der[i] = (uint8_t)(group >> (16 - 8 * i));
    return bytes;
}

static bool pem_decode(struct vks_bytes pem, uint8_t *der, size_t *der_size)
{
    size_t room = *der_size;
    int bytes = 3;

    *der_size = 0;
    if (!text_take(&pem, PEM_BEGIN) || !newline_take(&pem))
        return false;
    while (!text_take(&pem, PEM_END)) {
        /* Behind padding nothing follows. */
        if (bytes < 3 || (bytes = group_take(&pem, der + *der_size, room - *der_size)) < 0)
            return false;
        *der_size += (size_t)bytes;
        /* The end stands on a line of its own. */
        if (!newline_take(&pem) && pem.size && *(const char *)pem.data == '-')
            return false;
    }
    while (newline_take(&pem))
        ;
    return pem.size == 0;
}

/* The point itself: its length says of which type. */
static bool point_parse(struct vks_bytes file, uint32_t *type)
{
    const uint8_t *at = file.data;

    if (file.size == 32)
        *type = VKS_KEY_TYPE_X25519;
    else if (file.size == 65 && at[0] == 0x04)
        *type = VKS_KEY_TYPE_EC_P256;
    else if (file.size == 97 && at[0] == 0x04)
        *type = VKS_KEY_TYPE_EC_P384;
    else
        return false;
    return true;
}

bool peer_parse(struct vks_bytes file, struct peer *peer)
{
    uint8_t der[DER_BYTES_MAX];
    size_t der_size = sizeof(der);
    struct vks_bytes point = file;
    struct vks_bytes rest = file;

    if (text_take(&rest, PEM_MARK)) {
        if (!pem_decode(file, der, &der_size) ||
            vks_peer_from_der((struct vks_bytes){der, der_size}, &peer->type, &point))
            return false;
    } else if (vks_peer_from_der(file, &peer->type, &point) && !point_parse(file, &peer->type)) {
        return false;
    }
    memcpy(peer->point, point.data, point.size);
    peer->size = point.size;
    return true;
}
