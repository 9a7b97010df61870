/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A certificate as an object of a token (PKCS#11 v3.0, 4.6). It has CKA_ID and CKA_LABEL of the key of the token whose
 * current version has its public key. One without a key here has the label of its file, and the subject key identifier
 * as CKA_ID, unless that could be the id of a key.
 *
 * Whether there is a key matters for CKA_ID and CKA_LABEL alone, and is found out by public keys, for which the device
 * is asked: of what has the label of the file first, then of all keys of that type. Where there are more than
 * TOKEN_ASKED_MAX a certificate whose file has another name is its key's once somebody looked for that one by its id or
 * label, or for its public key.
 */
#ifndef PKCS11_CERTIFICATE_OBJECT_H
#define PKCS11_CERTIFICATE_OBJECT_H

#include "attribute.h"

/* @value is in @entry or in @room. CKR_ATTRIBUTE_TYPE_INVALID: it has none of this type. */
CK_RV certificate_attribute(struct token *token, const struct certificate_entry *entry, CK_ATTRIBUTE_TYPE type,
                            struct attribute_value *room, struct vks_bytes *value);
/*
 * CKR_OK: it has all @attributes; CKR_OBJECT_HANDLE_INVALID: it has not. Public keys of the keys that a CKA_ID or
 * CKA_LABEL among them names must have been learnt.
 */
CK_RV certificate_match(struct token *token, const struct certificate_entry *entry, const CK_ATTRIBUTE *attributes,
                        CK_ULONG count);

#endif
