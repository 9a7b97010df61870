/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * As much DER as SubjectPublicKeyInfo and certificates need (RFC 5280, 4.1). What is read comes from a device or a file
 * and is taken for hostile: definite, minimal lengths below 64 KiB, nothing behind the end, all within the bytes given.
 */
#ifndef PKCS11_DER_H
#define PKCS11_DER_H

#include <stdbool.h>
#include <stdint.h>

#include "vks.h"

enum der_tag {
    DER_BOOLEAN = 0x01,
    DER_INTEGER = 0x02,
    DER_BIT_STRING = 0x03,
    DER_OCTET_STRING = 0x04,
    DER_OID = 0x06,
    DER_UTC_TIME = 0x17,
    DER_GENERALIZED_TIME = 0x18,
    DER_SEQUENCE = 0x30,
};

/* The parts of a public key, inside the bytes it was read from. */
struct der_public_key {
    struct vks_bytes algorithm; /* content of the object identifier */
    struct vks_bytes key;       /* content of the bit string */
};

struct der_rsa_key {
    struct vks_bytes modulus; /* big-endian, without leading zeros */
    struct vks_bytes exponent;
};

/* Takes an element with @tag off the front of @from; @content is what is in it. */
bool der_take(struct vks_bytes *from, uint8_t tag, struct vks_bytes *content);
/* The same; @element is all of it, with tag and length. */
bool der_take_element(struct vks_bytes *from, uint8_t tag, struct vks_bytes *element);
/* Whether the next element has @tag. */
bool der_is_next(struct vks_bytes from, uint8_t tag);
bool der_public_key_read(struct vks_bytes der, struct der_public_key *public_key);
bool der_rsa_key_read(struct vks_bytes key, struct der_rsa_key *rsa);

/* An OCTET STRING of @content, at most 65535 bytes, into @out; its size, 0 if there is no room. */
size_t der_put_octet_string(struct vks_bytes content, uint8_t *out, size_t room);
/* Takes the content of an OCTET STRING that is all of @der, else gives @der itself: peers are written in both ways. */
struct vks_bytes der_octet_string_or_raw(struct vks_bytes der, size_t raw_size);

#endif
