/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What is in a certificate (RFC 5280, 4.1). It is read, not verified: who trusts it does that. Whoever wrote it is
 * taken for hostile.
 */
#ifndef PKCS11_CERTIFICATE_H
#define PKCS11_CERTIFICATE_H

#include <stdbool.h>
#include <stdint.h>

#include "vks.h"

#define CERTIFICATE_BYTES_MAX  (4 + 0xffff) /* in DER, with a length of two bytes */
#define CERTIFICATE_DATE_BYTES 8

/* All parts are elements with tag and length, inside the bytes that it was read from. */
struct certificate {
    struct vks_bytes der;
    struct vks_bytes serial_number;
    struct vks_bytes issuer;
    struct vks_bytes subject;
    struct vks_bytes public_key; /* SubjectPublicKeyInfo */
    struct vks_bytes key_id;     /* content of subjectKeyIdentifier (4.2.1.2); of no size: it has none */
    bool is_authority;           /* cA of basicConstraints (4.2.1.9) */
    char start_date[CERTIFICATE_DATE_BYTES], end_date[CERTIFICATE_DATE_BYTES]; /* YYYYMMDD */
};

/* False: @der is not a certificate of at most CERTIFICATE_BYTES_MAX bytes and nothing else. */
bool certificate_read(struct vks_bytes der, struct certificate *certificate);

#endif
