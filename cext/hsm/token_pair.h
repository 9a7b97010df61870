/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Key pairs of a token: made in it, found in it, their public half read out. What makes them ours is their CKA_ID,
 * which both halves have. No key of a token is ever removed. (PKCS #11 v3.0, 2.1 RSA and 2.3 elliptic curves)
 */
#ifndef VKS_TOKEN_PAIR_H
#define VKS_TOKEN_PAIR_H

#include <stdint.h>

#include "ipc_hsm.h"
#include "token.h"

/*
 * Make a pair of *object*'s type and id whose private half cannot leave. VKS_HSM_OK, VKS_HSM_KEY_TYPE: none that a
 * token has, VKS_HSM_REFUSED.
 */
__attribute__((warn_unused_result)) enum vks_hsm_error
vks_token_pair_make(struct vks_token *token, const struct vks_hsm_object *object, const char *label);
/*
 * The private key of this label, or of the object's id where it has one; then id and type are filled in. VKS_HSM_OK,
 * VKS_HSM_PAIR_GONE, VKS_HSM_PAIR_SEVERAL, VKS_HSM_PAIR_ID: it has none that we could call it by, VKS_HSM_KEY_TYPE,
 * VKS_HSM_PAIR_LEAVES: it could leave the token, or does nothing for us; VKS_HSM_PAIR_ASKS: each use of
 * it takes the PIN anew; VKS_HSM_REFUSED.
 */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_token_pair_find(struct vks_token *token, const char *label,
                                                                           struct vks_hsm_object *object);
/* Handle of the private key, for a signature. VKS_HSM_OK, VKS_HSM_PAIR_GONE, VKS_HSM_PAIR_SEVERAL, VKS_HSM_REFUSED. */
__attribute__((warn_unused_result)) enum vks_hsm_error
vks_token_pair_private(struct vks_token *token, const struct vks_hsm_object *object, CK_OBJECT_HANDLE *handle);
/* SubjectPublicKeyInfo of the pair, of *public_bytes*. VKS_HSM_OK, VKS_HSM_PAIR_PUBLIC, VKS_HSM_REFUSED. */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_token_pair_public(struct vks_token *token,
                                                                             const struct vks_hsm_object *object,
                                                                             uint8_t der[VKS_HSM_PUBLIC_BYTES_MAX],
                                                                             uint32_t *public_bytes);

#endif
