/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Encryption and decryption by one request each. The device has nonce or IV in front of the ciphertext, PKCS#11 has
 * them in the parameter: they are put there and taken off here.
 */
#ifndef PKCS11_CIPHER_H
#define PKCS11_CIPHER_H

#include "operation.h"
#include "status.h"

/* Of the ciphertext of @size bytes of text. CKR_DATA_LEN_RANGE: the mechanism takes no such text. */
CK_RV cipher_sealed_bytes(const struct operation *operation, size_t size, size_t *sealed);
/* At most, of the text of a ciphertext of @size. CKR_ENCRYPTED_DATA_LEN_RANGE: there is none of this size. */
CK_RV cipher_opened_bytes(const struct operation *operation, size_t size, size_t *opened);

/* @output has room for what the two above say; *size: what was written. */
CK_RV cipher_seal(struct token *token, const struct operation *operation, struct vks_bytes text, uint8_t *output,
                  size_t *size);
CK_RV cipher_open(struct token *token, const struct operation *operation, struct vks_bytes sealed, enum status_use use,
                  uint8_t *output, size_t *size);

#endif
