/* SPDX-License-Identifier: Apache-2.0 */
/* Objects of a token in an open session: finding them, reading what they say. (PKCS #11 v3.0, 5.7) */
#ifndef VKS_TOKEN_OBJECT_H
#define VKS_TOKEN_OBJECT_H

#include <stdbool.h>
#include <stddef.h>

#include "token.h"

/* The objects that match: *count* is 0, 1 or, for any more, 2; *object* is one of them. VKS_HSM_OK or VKS_HSM_REFUSED.
 */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_token_object_find(struct vks_token *token,
                                                                             CK_ATTRIBUTE *sought, size_t sought_count,
                                                                             CK_OBJECT_HANDLE *object, size_t *count);
/* An attribute of exactly this size: false where it has another one, or cannot be read. */
__attribute__((warn_unused_result)) bool vks_token_object_read(struct vks_token *token, CK_OBJECT_HANDLE object,
                                                               CK_ATTRIBUTE_TYPE type, void *value, size_t value_bytes);
/* Whether a flag can be read and is *wanted*. */
__attribute__((warn_unused_result)) bool vks_token_object_is(struct vks_token *token, CK_OBJECT_HANDLE object,
                                                             CK_ATTRIBUTE_TYPE type, CK_BBOOL wanted);

#endif
