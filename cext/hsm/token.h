/* SPDX-License-Identifier: Apache-2.0 */
/* A token of a module: which one is meant, and a session in which its user is logged in. (PKCS #11 v3.0, 5.5 and 5.6)
 */
#ifndef VKS_TOKEN_H
#define VKS_TOKEN_H

#include <stdbool.h>
#include <stdint.h>

#include "module.h"

enum vks_token_limit {
    VKS_TOKEN_LABEL_BYTES = 32,
    VKS_TOKEN_SERIAL_BYTES = 16,
    VKS_TOKEN_SLOTS_MAX = 256,
};

struct vks_token {
    struct vks_module *module;
    CK_SLOT_ID slot;
    CK_SESSION_HANDLE session;
    CK_FLAGS flags;
    CK_ULONG pin_bytes_min;
    CK_ULONG pin_bytes_max;
    uint8_t label[VKS_TOKEN_LABEL_BYTES];   /* UTF-8, filled with blanks; as the module has it: not checked */
    uint8_t serial[VKS_TOKEN_SERIAL_BYTES]; /* the same */
};

/* The token with this serial number: VKS_HSM_OK, VKS_HSM_TOKEN_ABSENT, VKS_HSM_TOKEN_SEVERAL, VKS_HSM_REFUSED or
 * VKS_HSM_MODULE_NONSENSE. */
__attribute__((warn_unused_result)) enum vks_hsm_error
vks_token_find_serial(struct vks_token *token, struct vks_module *module, const uint8_t *serial);
/* The token with this label, or the only one there is where that is NULL; VKS_HSM_TOKEN_NONE, or as above. */
__attribute__((warn_unused_result)) enum vks_hsm_error
vks_token_find_label(struct vks_token *token, struct vks_module *module, const char *label);
/*
 * Open a session and log the user in with a PIN, once. A token that says that this would be the last try, or that it is
 * locked, or could have no PIN of this length, is not asked. VKS_HSM_OK, VKS_HSM_PIN_* or VKS_HSM_REFUSED.
 */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_token_open(struct vks_token *token, uint8_t *pin,
                                                                      size_t pin_bytes, bool writes);
/* A further session beside the open one, of the same kind where there are such. VKS_HSM_OK or VKS_HSM_REFUSED. */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_token_open_another(struct vks_token *token);
/* Whether what a call came to means that the token, or our session with it, is gone. */
bool vks_token_is_lost(const struct vks_token *token, enum vks_hsm_error error);
/* Log out and close the session. */
void vks_token_close(struct vks_token *token);

#endif
