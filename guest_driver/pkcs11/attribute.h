/* SPDX-License-Identifier: BSD-3-Clause */
/* What attributes a key has (PKCS#11 v3.0, 4.4 to 4.14). */
#ifndef PKCS11_ATTRIBUTE_H
#define PKCS11_ATTRIBUTE_H

#include "token.h"

#define ATTRIBUTE_BYTES_MAX TOKEN_PUBLIC_KEY_BYTES_MAX /* of keys */

struct attribute_value {
    size_t size;
    uint8_t data[ATTRIBUTE_BYTES_MAX];
};

/*
 * CKR_ATTRIBUTE_TYPE_INVALID: it has none of this type; CKR_ATTRIBUTE_SENSITIVE: nobody sees it. The value of a session
 * secret is a secret: wiping it is the caller's.
 */
CK_RV attribute_get(struct token *token, const struct object *object, CK_ATTRIBUTE_TYPE type,
                    struct attribute_value *value);
/* What is in the public key; false: @type is nothing of it. */
bool attribute_is_of_public_key(const struct object *object, CK_ATTRIBUTE_TYPE type);
CK_RV attribute_of_public_key(struct token *token, const struct object *object, CK_ATTRIBUTE_TYPE type,
                              struct attribute_value *value);

void attribute_set(struct attribute_value *value, const void *data, size_t size);
CK_RV attribute_set_bool(struct attribute_value *value, bool is_true);
CK_RV attribute_set_number(struct attribute_value *value, CK_ULONG number);

#endif
