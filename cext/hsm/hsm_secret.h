/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secret that only this token gives back: HMAC-SHA256 of "vmm-keystore root v1" and 32 random bytes, under a key that
 * does not leave it.
 */
#ifndef VKS_HSM_SECRET_H
#define VKS_HSM_SECRET_H

#include <stdint.h>

#include "hsm_blob.h"
#include "token.h"

enum vks_hsm_secret_limit {
    VKS_HSM_SECRET_BYTES = 32,
};

/* In an open session: provide a key, choose the random bytes, fill in all of *blob*. VKS_HSM_OK, or what went wrong. */
__attribute__((warn_unused_result)) enum vks_hsm_error
vks_hsm_secret_make(struct vks_token *token, struct vks_hsm_blob *blob, uint8_t secret[VKS_HSM_SECRET_BYTES]);
__attribute__((warn_unused_result)) enum vks_hsm_error
vks_hsm_secret_find(struct vks_token *token, const struct vks_hsm_blob *blob, uint8_t secret[VKS_HSM_SECRET_BYTES]);

#endif
