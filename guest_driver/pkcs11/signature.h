/* SPDX-License-Identifier: BSD-3-Clause */
/* What a signing or verifying operation sends to the device. */
#ifndef PKCS11_SIGNATURE_H
#define PKCS11_SIGNATURE_H

#include "operation.h"

/* Of a signature or MAC by this key; the same for all mechanisms that it has. */
size_t signature_bytes(const struct object *key);
bool signature_is_mac(const struct object *key);
/*
 * Mechanism and input of @request for @data: a digest is held against the hash that it is said to be of.
 * CKR_DATA_INVALID, CKR_DATA_LEN_RANGE: it is none that the device signs. CKR_MECHANISM_INVALID: not by this grant.
 */
CK_RV signature_request(const struct operation *operation, struct vks_bytes data, struct vks_request *request);

#endif
