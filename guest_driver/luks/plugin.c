/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * libcryptsetup's plugin for tokens of type vmm-keystore: 'cryptsetup open' and systemd-cryptsetup ask the vault by it.
 * A plugin never decides that a disk is opened: it gives a secret, with which libcryptsetup tries the token's keyslots.
 *
 * Source: libcryptsetup.h, "LUKS2 token handlers": names, return values (-EAGAIN: hardware is missing, -EPERM:
 * refused).
 */
#define _GNU_SOURCE /* explicit_bzero */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "header.h"
#include "plugin.h"
#include "vault.h"

#pragma GCC visibility push(default)

const char *cryptsetup_token_version(void)
{
    return VKS_PLUGIN_VERSION;
}

int cryptsetup_token_validate(struct crypt_device *header, const char *json)
{
    struct failure failure;
    struct luks_token token;

    (void)header;
    return token_parse(json, &token, &failure) ? 0 : failure.error;
}

static bool keyslots_check(struct crypt_device *header, int number, struct failure *failure)
{
    for (int keyslot = 0; keyslot < crypt_keyslot_max(CRYPT_LUKS2); keyslot++) {
        if (crypt_token_is_assigned(header, number, keyslot) == 0 && !header_check_keyslot(header, keyslot, failure))
            return false;
    }
    return true;
}

/* The secret is the caller's, who gives it back to cryptsetup_token_buffer_free(). */
int cryptsetup_token_open(struct crypt_device *header, int number, char **buffer, size_t *buffer_size, void *unused)
{
    char binding[LUKS_BINDING_BYTES];
    struct failure failure;
    struct luks_token token;
    uint8_t *secret = NULL;
    const char *json;
    int error = crypt_token_json_get(header, number, &json);

    (void)unused;
    if (error < 0)
        return error;
    if (token_parse(json, &token, &failure) && keyslots_check(header, number, &failure) &&
        header_binding(header, binding, &failure)) {
        secret = malloc(LUKS_SECRET_BYTES);
        if (!secret)
            return -ENOMEM;
        if (vault_open(NULL, &token, binding, secret, &failure)) {
            *buffer = (char *)secret;
            *buffer_size = LUKS_SECRET_BYTES;
            return 0;
        }
        cryptsetup_token_buffer_free(secret, LUKS_SECRET_BYTES);
    }
    crypt_logf(header, CRYPT_LOG_ERROR, "vmm-keystore: %s%s%s\n", failure.text, failure.hint[0] ? "\nhint: " : "",
               failure.hint);
    return failure.error == -ENOENT || failure.error == -ENXIO || failure.error == -ENODEV ? -EAGAIN : failure.error;
}

void cryptsetup_token_buffer_free(void *buffer, size_t buffer_size)
{
    explicit_bzero(buffer, buffer_size);
    free(buffer);
}

void cryptsetup_token_dump(struct crypt_device *header, const char *json)
{
    struct failure failure;
    struct luks_token token;

    if (token_parse(json, &token, &failure))
        crypt_logf(header, CRYPT_LOG_NORMAL, "\tkey:        %s\n\tversion:    %" PRIu32 "\n", token.label,
                   token.key_version);
    else
        crypt_logf(header, CRYPT_LOG_NORMAL, "\t%s\n", failure.text);
}

#pragma GCC visibility pop
