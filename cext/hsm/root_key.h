/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key that a token keeps for us: a generic secret that was made in it and never leaves it, of which it gives MACs
 * (PKCS #11 v3.0, 2.9 "HMAC mechanisms" and 6.8 "Generic secret key"). No key of a token is ever removed.
 */
#ifndef VKS_ROOT_KEY_H
#define VKS_ROOT_KEY_H

#include <stdint.h>

#include "token.h"

enum vks_root_key_limit {
    VKS_ROOT_KEY_ID_BYTES = 16,
    VKS_ROOT_KEY_BYTES = 32,
    VKS_ROOT_KEY_MAC_BYTES = 32,
};

struct vks_root_key {
    CK_OBJECT_HANDLE object;
    uint8_t id[VKS_ROOT_KEY_ID_BYTES];
};

/* The one with the id in *key*. VKS_HSM_OK, VKS_HSM_KEY_GONE, VKS_HSM_KEY_SEVERAL, VKS_HSM_REFUSED,
 * VKS_HSM_MODULE_NONSENSE. */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_root_key_find(struct vks_token *token,
                                                                         struct vks_root_key *key);
/*
 * The token's only key of the label "vmm-keystore root", or a new one; then see that it is what it should be.
 * VKS_HSM_OK, VKS_HSM_KEY_WEAK, VKS_HSM_KEY_ID, VKS_HSM_OURS or VKS_HSM_REFUSED.
 */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_root_key_provide(struct vks_token *token,
                                                                            struct vks_root_key *key);
/* HMAC-SHA256. *mac* is in secret memory. VKS_HSM_OK, VKS_HSM_REFUSED or VKS_HSM_MODULE_NONSENSE. */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_root_key_mac(struct vks_token *token,
                                                                        const struct vks_root_key *key,
                                                                        const uint8_t *message, size_t message_bytes,
                                                                        uint8_t mac[VKS_ROOT_KEY_MAC_BYTES]);

#endif
