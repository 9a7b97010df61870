/* SPDX-License-Identifier: BSD-3-Clause */
/* Parameters of mechanisms, checked and turned into what the device takes. */
#ifndef PKCS11_PARAMETER_H
#define PKCS11_PARAMETER_H

#include "buffer.h"
#include "mechanism.h"

#define PARAMETER_NONCE_BYTES 12
#define PARAMETER_TAG_BYTES   16
#define PARAMETER_BLOCK_BYTES 16

struct parameter {
    uint32_t vks;                         /* enum vks_mechanism; 0: what is signed decides */
    bool is_digest;                       /* the input is one */
    uint8_t nonce[PARAMETER_BLOCK_BYTES]; /* nonce, IV, counter block or tweak */
    size_t nonce_size;
    struct buffer extra; /* associated data, or OAEP's label */
};

/*
 * For an operation of signing, MAC or encryption. @protects: the nonce is the caller's choice rather than what the text
 * was encrypted with.
 */
CK_RV parameter_read(const struct mechanism *mechanism, const CK_MECHANISM *given, const struct object *key,
                     bool protects, struct parameter *parameter);
void parameter_clear(struct parameter *parameter);

/* The mechanism of the device that is for this hash (CKM_SHA256 and so on), of a mask; 0: there is none. */
uint32_t parameter_by_hash(uint64_t vks_mask, CK_MECHANISM_TYPE hash);
/* The length of a digest by one of the mechanisms that have one; 0: it has none. */
size_t parameter_digest_bytes(uint32_t vks);
/* CKR_MECHANISM_INVALID if the grant does not have it. */
CK_RV parameter_granted(const struct object *key, uint32_t vks);

#endif
