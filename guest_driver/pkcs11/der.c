/* SPDX-License-Identifier: BSD-3-Clause */
#include "der.h"

#include <string.h>

#define LENGTH_BYTES_MAX 2 /* contents below 64 KiB: the largest public key has 2592 bytes, a certificate some more */

/* The length in front of @from, which is moved behind it. */
static bool take_length(struct vks_bytes *from, size_t *length)
{
    const uint8_t *at = from->data;
    size_t count;

    if (from->size < 1)
        return false;
    if (at[0] < 0x80) {
        *length = at[0];
        *from = (struct vks_bytes){at + 1, from->size - 1};
        return true;
    }
    count = at[0] & 0x7f;
    if (count < 1 || count > LENGTH_BYTES_MAX || from->size - 1 < count)
        return false;
    *length = count == 1 ? at[1] : (size_t)at[1] << 8 | at[2];
    /* Minimal: no length that fits in fewer bytes. */
    if (*length < (count == 1 ? 0x80u : 0x100u))
        return false;
    *from = (struct vks_bytes){at + 1 + count, from->size - 1 - count};
    return true;
}

bool der_take(struct vks_bytes *from, uint8_t tag, struct vks_bytes *content)
{
    struct vks_bytes rest = *from;
    size_t length;

    if (rest.size < 2 || *(const uint8_t *)rest.data != tag)
        return false;
    rest = (struct vks_bytes){(const uint8_t *)rest.data + 1, rest.size - 1};
    if (!take_length(&rest, &length) || length > rest.size)
        return false;
    *content = (struct vks_bytes){rest.data, length};
    *from = (struct vks_bytes){(const uint8_t *)rest.data + length, rest.size - length};
    return true;
}

bool der_take_element(struct vks_bytes *from, uint8_t tag, struct vks_bytes *element)
{
    const uint8_t *begin = from->data;
    struct vks_bytes content;

    if (!der_take(from, tag, &content))
        return false;
    *element = (struct vks_bytes){begin, (size_t)((const uint8_t *)from->data - begin)};
    return true;
}

bool der_is_next(struct vks_bytes from, uint8_t tag)
{
    return from.size && *(const uint8_t *)from.data == tag;
}

bool der_public_key_read(struct vks_bytes der, struct der_public_key *public_key)
{
    struct vks_bytes outer, algorithm, bits;

    if (!der_take(&der, DER_SEQUENCE, &outer) || der.size)
        return false;
    if (!der_take(&outer, DER_SEQUENCE, &algorithm) || !der_take(&outer, DER_BIT_STRING, &bits) || outer.size)
        return false;
    if (!der_take(&algorithm, DER_OID, &public_key->algorithm))
        return false;
    /* The first byte counts unused bits, which no key has. */
    if (bits.size < 2 || *(const uint8_t *)bits.data != 0)
        return false;
    public_key->key = (struct vks_bytes){(const uint8_t *)bits.data + 1, bits.size - 1};
    return true;
}

/* A positive number without the zero that keeps it so. */
static bool take_number(struct vks_bytes *from, struct vks_bytes *number)
{
    const uint8_t *at;

    if (!der_take(from, DER_INTEGER, number) || number->size == 0)
        return false;
    at = number->data;
    if (at[0] & 0x80)
        return false;
    if (at[0] == 0) {
        if (number->size == 1 || !(at[1] & 0x80))
            return false;
        *number = (struct vks_bytes){at + 1, number->size - 1};
    }
    return true;
}

bool der_rsa_key_read(struct vks_bytes key, struct der_rsa_key *rsa)
{
    struct vks_bytes content;

    return der_take(&key, DER_SEQUENCE, &content) && key.size == 0 && take_number(&content, &rsa->modulus) &&
           take_number(&content, &rsa->exponent) && content.size == 0;
}

size_t der_put_octet_string(struct vks_bytes content, uint8_t *out, size_t room)
{
    size_t head = content.size < 0x80 ? 2 : content.size < 0x100 ? 3 : 4;

    if (content.size > 0xffff || head + content.size > room)
        return 0;
    *out++ = DER_OCTET_STRING;
    if (head == 3)
        *out++ = 0x81;
    if (head == 4) {
        *out++ = 0x82;
        *out++ = (uint8_t)(content.size >> 8);
    }
    *out++ = (uint8_t)content.size;
    memcpy(out, content.data, content.size);
    return head + content.size;
}

struct vks_bytes der_octet_string_or_raw(struct vks_bytes der, size_t raw_size)
{
    struct vks_bytes rest = der, content;

    /* A raw point begins with 4 as well: only its size tells. */
    if (der.size != raw_size && der_take(&rest, DER_OCTET_STRING, &content) && rest.size == 0)
        return content;
    return der;
}
