/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* explicit_bzero */
#include <errno.h>
#include <string.h>

#include "keyslot.h"
#include "vault.h"

/*
 * A secret of 256 random bits has nothing to gain of slow hashing, and a boot to lose. 1000: the least that
 * libcryptsetup takes.
 */
static const struct crypt_pbkdf_type fast_hash = {
    .type = LUKS_PBKDF_TYPE,
    .hash = LUKS_PBKDF_HASH,
    .iterations = 1000,
    .flags = CRYPT_PBKDF_NO_BENCHMARK,
};

bool volume_key_get(struct crypt_device *header, int keyslot, const void *secret, size_t secret_size,
                    struct volume_key *key, struct failure *failure)
{
    int size = crypt_get_volume_key_size(header);
    int error;

    *key = (struct volume_key){.bytes = size > 0 ? crypt_safe_alloc((size_t)size) : NULL, .size = (size_t)size};
    if (!key->bytes)
        return fail(failure, -ENOMEM, NULL, "no memory for the volume key");
    error = crypt_volume_key_get(header, keyslot, key->bytes, &key->size, secret, secret_size);
    if (error >= 0)
        return true;
    volume_key_free(key);
    if (error == -EPERM)
        return fail(failure, error, NULL, "no keyslot is opened by this");
    return fail(failure, error, NULL, "no keyslot can be read: %s", strerror(-error));
}

void volume_key_free(struct volume_key *key)
{
    crypt_safe_free(key->bytes);
    *key = (struct volume_key){0};
}

/* Both into the header, or neither. */
static bool keyslot_write(struct crypt_device *header, const struct volume_key *volume_key,
                          const struct luks_token *token, const uint8_t secret[LUKS_SECRET_BYTES], int *keyslot,
                          struct failure *failure)
{
    char json[LUKS_TOKEN_JSON_BYTES];
    int error = crypt_set_pbkdf_type(header, &fast_hash);

    if (error)
        return fail(failure, error, NULL, "no PBKDF2 here: %s", strerror(-error));
    error = crypt_keyslot_set_encryption(header, LUKS_KEYSLOT_CIPHER, LUKS_KEYSLOT_KEY_BYTES);
    if (error)
        return fail(failure, error, NULL, "no " LUKS_KEYSLOT_CIPHER " here: %s", strerror(-error));
    *keyslot = crypt_keyslot_add_by_volume_key(header, CRYPT_ANY_SLOT, volume_key->bytes, volume_key->size,
                                               (const char *)secret, LUKS_SECRET_BYTES);
    if (*keyslot < 0)
        return fail(failure, *keyslot, NULL, "no keyslot could be added: %s", strerror(-*keyslot));
    token_format(token, *keyslot, json);
    error = crypt_token_json_set(header, CRYPT_ANY_TOKEN, json);
    if (error >= 0)
        return true;
    (void)crypt_keyslot_destroy(header, *keyslot);
    return fail(failure, error, NULL, "no token could be added: %s", strerror(-error));
}

bool keyslot_add(struct crypt_device *header, const char *device, const char *key_name,
                 const struct volume_key *volume_key, struct luks_token *token, int *keyslot, struct failure *failure)
{
    char binding[LUKS_BINDING_BYTES];
    uint8_t secret[LUKS_SECRET_BYTES];
    bool is_added;

    if (!header_binding(header, binding, failure))
        return false;
    is_added = vault_make(device, key_name, binding, token, secret, failure) &&
               keyslot_write(header, volume_key, token, secret, keyslot, failure);
    explicit_bzero(secret, sizeof(secret));
    return is_added;
}

bool keyslot_secret(struct crypt_device *header, const char *device, struct header_token *found,
                    struct luks_token *token, uint8_t secret[LUKS_SECRET_BYTES], struct failure *failure)
{
    char binding[LUKS_BINDING_BYTES];

    return header_find_token(header, found, token, failure) && header_check_keyslot(header, found->keyslot, failure) &&
           header_binding(header, binding, failure) && vault_open(device, token, binding, secret, failure);
}

bool keyslot_remove(struct crypt_device *header, const struct header_token *found, struct failure *failure)
{
    int error = found->keyslot < 0 ? 0 : crypt_keyslot_destroy(header, found->keyslot);

    if (error)
        return fail(failure, error, NULL, "keyslot %d could not be removed: %s", found->keyslot, strerror(-error));
    error = crypt_token_json_set(header, found->number, NULL);
    if (error < 0)
        return fail(failure, error, NULL, "token %d could not be removed: %s", found->number, strerror(-error));
    return true;
}
