/* SPDX-License-Identifier: BSD-3-Clause */
/* A certificate with all parts that are read, as small as it can be; nobody signed it. */
#ifndef SMALL_CERTIFICATE_H
#define SMALL_CERTIFICATE_H

#include <stdint.h>

static const uint8_t small_certificate[] = {
    0x30, 0x81, 0x92, 0x30, 0x81, 0x84,                               /* Certificate, TBSCertificate */
    0xa0, 0x03, 0x02, 0x01, 0x02,                                     /* version 3 */
    0x02, 0x01, 0x05,                                                 /* serial number */
    0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70,                         /* signature */
    0x30, 0x0d, 0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03, /* issuer: CN=ca */
    0x0c, 0x02, 'c',  'a',                                            /* its value */
    0x30, 0x20,                                                       /* validity */
    0x17, 0x0d, '5',  '0',  '0',  '1',  '0',  '2',  '0',  '3',  '0',  '4', '0', '5', 'Z',           /* notBefore */
    0x18, 0x0f, '2',  '0',  '4',  '9',  '1',  '2',  '3',  '1',  '2',  '3', '5', '9', '5', '9', 'Z', /* notAfter */
    0x30, 0x0d, 0x31, 0x0b, 0x30, 0x09, 0x06, 0x03, 0x55, 0x04, 0x03,                               /* subject: CN=me */
    0x0c, 0x02, 'm',  'e',                                                                          /* its value */
    0x30, 0x0d, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70,                                           /* public key */
    0x03, 0x04, 0x00, 0x01, 0x02, 0x03,                                                             /* its value */
    0xa3, 0x24, 0x30, 0x22,                                                                         /* extensions */
    0x30, 0x12, 0x06, 0x03, 0x55, 0x1d, 0x13, 0x01, 0x01, 0xff, /* basicConstraints, critical */
    0x04, 0x08, 0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x00, /* cA, pathLenConstraint */
    0x30, 0x0c, 0x06, 0x03, 0x55, 0x1d, 0x0e,                   /* subjectKeyIdentifier */
    0x04, 0x05, 0x04, 0x03, 0xa1, 0xa2, 0xa3,                   /* its value */
    0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70,                   /* signatureAlgorithm */
    0x03, 0x02, 0x00, 0x09,                                     /* signature */
};

/* Where parts begin. */
enum {
    SMALL_VERSION_AT = 6,
    SMALL_SERIAL_AT = 11,
    SMALL_ISSUER_AT = 21,
    SMALL_NOT_BEFORE_AT = 38,
    SMALL_NOT_AFTER_AT = 53,
    SMALL_SUBJECT_AT = 70,
    SMALL_PUBLIC_KEY_AT = 85,
    SMALL_EXTENSIONS_AT = 100,
    SMALL_CRITICAL_AT = 111,
    SMALL_AUTHORITY_AT = 118,
    SMALL_KEY_ID_AT = 133,
};

#endif
