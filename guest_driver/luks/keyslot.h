/* SPDX-License-Identifier: BSD-3-Clause */
/* Keyslots that the vault opens: made, tried, destroyed. Each has one token; both come and go together. */
#ifndef VKS_LUKS_KEYSLOT_H
#define VKS_LUKS_KEYSLOT_H

#include "header.h"

/* The volume key of a disk; volume_key_free() wipes it. */
struct volume_key {
    char *bytes;
    size_t size;
};

/* By a passphrase, or with @keyslot by what opens that one alone; -EPERM: it opens nothing. */
LUKS_MUST_CHECK bool volume_key_get(struct crypt_device *header, int keyslot, const void *secret, size_t secret_size,
                                    struct volume_key *key, struct failure *failure);
void volume_key_free(struct volume_key *key);

/* A fresh secret of the vault's key @key_name in a keyslot of its own, and the token for it. Gives the keyslot. */
LUKS_MUST_CHECK bool keyslot_add(struct crypt_device *header, const char *device, const char *key_name,
                                 const struct volume_key *volume_key, struct luks_token *token, int *keyslot,
                                 struct failure *failure);
/* The secret of the header's keyslot @found->keyslot, by the vault; wiping it is the caller's. */
LUKS_MUST_CHECK bool keyslot_secret(struct crypt_device *header, const char *device, struct header_token *found,
                                    struct luks_token *token, uint8_t secret[LUKS_SECRET_BYTES],
                                    struct failure *failure);
/* The keyslot first: one without its token would pass for another way in, and nothing would open it. */
LUKS_MUST_CHECK bool keyslot_remove(struct crypt_device *header, const struct header_token *found,
                                    struct failure *failure);

#endif
