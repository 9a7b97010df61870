/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ECDSA signatures between r || s (what the device speaks) and Ecdsa-Sig-Value (RFC 3279, 2.2.3: what X.509, TLS and
 * openssl speak):  SEQUENCE { INTEGER r, INTEGER s },  DER: definite and minimal lengths, minimal integers.
 */
#include <errno.h>
#include <string.h>

#include "vks.h"

#define COORDINATE_BYTES_MAX 66 /* P-521; keeps every content below 256 bytes: at most one length byte behind 0x81 */
#define TAG_INTEGER          0x02
#define TAG_SEQUENCE         0x30

/* Content bytes of a big-endian unsigned number as an INTEGER; leading zeros go, a set top bit costs one. */
static size_t integer_size(const uint8_t *number, size_t size)
{
    while (size > 1 && *number == 0) {
        number++;
        size--;
    }
    return size + (*number >> 7);
}

static uint8_t *integer_put(uint8_t *at, const uint8_t *number, size_t size)
{
    size_t content = integer_size(number, size);

    *at++ = TAG_INTEGER;
    *at++ = (uint8_t)content;
    /* A sign byte that is not among the number's own leading zeros. */
    if (content > size) {
        *at++ = 0;
        content--;
    }
    memcpy(at, number + size - content, content);
    return at + content;
}

int vks_ecdsa_to_der(struct vks_bytes raw, void *der, size_t *der_size)
{
    const uint8_t *r = raw.data;
    size_t half = raw.size / 2;
    size_t content, total;
    uint8_t *at = der;

    if (raw.size % 2 || half == 0 || half > COORDINATE_BYTES_MAX)
        return -EINVAL;
    content = 2 + integer_size(r, half) + 2 + integer_size(r + half, half);
    total = (content < 0x80 ? 2 : 3) + content;
    if (total > *der_size) {
        *der_size = total;
        return -ENOSPC;
    }
    *at++ = TAG_SEQUENCE;
    if (content >= 0x80)
        *at++ = 0x81;
    *at++ = (uint8_t)content;
    at = integer_put(at, r, half);
    integer_put(at, r + half, half);
    *der_size = total;
    return 0;
}

/* Reads tag and length off the front of @der and leaves the content; what is behind goes to @rest. */
static bool element_take(uint8_t tag, struct vks_bytes *der, struct vks_bytes *rest)
{
    const uint8_t *at = der->data;
    size_t left = der->size;
    size_t size;

    if (left < 2 || at[0] != tag)
        return false;
    size = at[1];
    at += 2;
    left -= 2;
    if (size == 0x81) {
        if (left < 1 || at[0] < 0x80)
            return false;
        size = *at++;
        left--;
    } else if (size >= 0x80) {
        return false;
    }
    if (size > left)
        return false;
    *rest = (struct vks_bytes){at + size, left - size};
    *der = (struct vks_bytes){at, size};
    return true;
}

/* A minimal, non-negative INTEGER of at most @size bytes, right-aligned into @number. */
static bool integer_take(struct vks_bytes content, uint8_t *number, size_t size)
{
    const uint8_t *at = content.data;
    size_t left = content.size;

    if (left == 0 || at[0] & 0x80)
        return false;
    if (at[0] == 0 && left > 1) {
        if (!(at[1] & 0x80))
            return false;
        at++;
        left--;
    }
    if (left > size)
        return false;
    memset(number, 0, size - left);
    memcpy(number + size - left, at, left);
    return true;
}

int vks_ecdsa_from_der(struct vks_bytes der, void *raw, size_t raw_size)
{
    size_t half = raw_size / 2;
    struct vks_bytes r = der, s, rest;

    if (raw_size % 2 || half == 0 || half > COORDINATE_BYTES_MAX)
        return -EINVAL;
    if (!element_take(TAG_SEQUENCE, &r, &rest) || rest.size)
        return -EINVAL;
    if (!element_take(TAG_INTEGER, &r, &s) || !element_take(TAG_INTEGER, &s, &rest) || rest.size)
        return -EINVAL;
    if (!integer_take(r, raw, half) || !integer_take(s, (uint8_t *)raw + half, half))
        return -EINVAL;
    return 0;
}
