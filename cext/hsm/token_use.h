/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One use of a private key by its token, in the form of the device ABI: ECDSA signatures as r || s, RSA as PKCS #1 v1.5
 * or PSS with a salt as long as the digest, decryption as OAEP. (PKCS #11 v3.0, 2.1 and 2.3; RFC 8017)
 */
#ifndef VKS_TOKEN_USE_H
#define VKS_TOKEN_USE_H

#include <stdint.h>

#include "ipc_hsm.h"
#include "token.h"

struct vks_token_use {
    uint32_t op;        /* enum vks_op: sign or decrypt */
    uint32_t mechanism; /* enum vks_mechanism */
    uint32_t label_bytes;
    uint32_t input_bytes;
    const uint8_t *label;
    const uint8_t *input;
    uint32_t output_bytes;
    uint8_t output[VKS_HSM_OUTPUT_BYTES_MAX];
};

/*
 * VKS_HSM_OK; VKS_HSM_KEY_TYPE: no mechanism that this token has, or an input that is none of it; VKS_HSM_UNSOUND: what
 * was to be decrypted is not, or could not be; VKS_HSM_REFUSED with the rv, VKS_HSM_MODULE_NONSENSE.
 */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_token_use(struct vks_token *token, CK_OBJECT_HANDLE key,
                                                                     struct vks_token_use *use);

#endif
