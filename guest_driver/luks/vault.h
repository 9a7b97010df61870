/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The secret that opens a keyslot: made and opened by the vault. @binding is what it is tied to, the same text both
 * times: the vault opens a sealed secret for nothing else. Knows no header.
 */
#ifndef VKS_LUKS_VAULT_H
#define VKS_LUKS_VAULT_H

#include "token.h"

/* By the key @key_name, a label or an id as 32 hex digits, of its current version; fills @token. @device: vks_open().
 */
LUKS_MUST_CHECK bool vault_make(const char *device, const char *key_name, const char *binding, struct luks_token *token,
                                uint8_t secret[LUKS_SECRET_BYTES], struct failure *failure);
LUKS_MUST_CHECK bool vault_open(const char *device, const struct luks_token *token, const char *binding,
                                uint8_t secret[LUKS_SECRET_BYTES], struct failure *failure);

#endif
