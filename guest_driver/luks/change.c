/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that change a header: enroll, renew, remove. */
#define _GNU_SOURCE /* explicit_bzero */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "keyslot.h"
#include "passphrase.h"

static void print_added(const struct luks_token *token, int keyslot)
{
    printf("keyslot %d: key %s, version %" PRIu32 "\n", keyslot, token->label, token->key_version);
}

static bool enroll(struct crypt_device *header, const struct luks_options *options, struct failure *failure)
{
    struct header_token found;
    struct luks_token token;
    struct volume_key key;
    struct buffer passphrase;
    int keyslot;
    bool is_added;

    if (header_next_token(header, -1, &found))
        return fail(failure, -EEXIST, "'vks luks renew' makes a new secret, 'vks luks remove' undoes it",
                    "%.120s has a token of the vault already", options->operands[0]);
    if (!passphrase_read(options->key_file, options->operands[0], &passphrase, failure))
        return false;
    /* Before the vault: a wrong passphrase shall not have it make a secret. */
    is_added = volume_key_get(header, CRYPT_ANY_SLOT, passphrase.data, passphrase.size, &key, failure);
    buffer_free(&passphrase);
    if (!is_added)
        return false;
    is_added = keyslot_add(header, options->device, options->operands[1], &key, &token, &keyslot, failure);
    volume_key_free(&key);
    if (is_added)
        print_added(&token, keyslot);
    return is_added;
}

int luks_enroll(const struct luks_options *options)
{
    struct crypt_device *header;
    struct failure failure;
    bool is_done = header_load(options->operands[0], &header, &failure) && enroll(header, options, &failure);

    crypt_free(header);
    return is_done ? 0 : luks_complain(&failure);
}

static bool renew(struct crypt_device *header, const struct luks_options *options, struct failure *failure)
{
    char key_id[2 * VKS_KEY_ID_BYTES + 1];
    uint8_t secret[LUKS_SECRET_BYTES];
    struct header_token old;
    struct luks_token token;
    struct volume_key key;
    int keyslot;
    bool is_done = keyslot_secret(header, options->device, &old, &token, secret, failure) &&
                   volume_key_get(header, old.keyslot, secret, sizeof(secret), &key, failure);

    explicit_bzero(secret, sizeof(secret));
    if (!is_done)
        return false;
    hex_text(token.key_id, sizeof(token.key_id), key_id);
    is_done = keyslot_add(header, options->device, key_id, &key, &token, &keyslot, failure);
    volume_key_free(&key);
    /* Last: until then the old one opens the disk. */
    is_done = is_done && keyslot_remove(header, &old, failure);
    if (is_done)
        print_added(&token, keyslot);
    return is_done;
}

int luks_renew(const struct luks_options *options)
{
    struct crypt_device *header;
    struct failure failure;
    bool is_done = header_load(options->operands[0], &header, &failure) && renew(header, options, &failure);

    crypt_free(header);
    return is_done ? 0 : luks_complain(&failure);
}

static bool remove_all(struct crypt_device *header, const struct luks_options *options, struct failure *failure)
{
    struct header_token found;

    if (!header_next_token(header, -1, &found))
        return fail(failure, -ENOENT, NULL, "%.120s has no token of the vault", options->operands[0]);
    if (!header_other_ways(header))
        return fail(failure, -EPERM, "first 'cryptsetup luksAddKey' another passphrase or key file",
                    "without the vault nothing would open %.120s", options->operands[0]);
    if (!(options->given & LUKS_OPTION_YES)) {
        if (!isatty(STDIN_FILENO))
            return fail(failure, -EPERM, "add --yes",
                        "will not remove the vault's keyslot without being asked to twice");
        if (!confirm("remove the vault's keyslot from", options->operands[0],
                     "? a passphrase or key file opens the disk then"))
            return fail(failure, -EPERM, NULL, "nothing was changed");
    }
    do {
        if (!keyslot_remove(header, &found, failure))
            return false;
    } while (header_next_token(header, -1, &found));
    return true;
}

int luks_remove(const struct luks_options *options)
{
    struct crypt_device *header;
    struct failure failure;
    bool is_done = header_load(options->operands[0], &header, &failure) && remove_all(header, options, &failure);

    crypt_free(header);
    return is_done ? 0 : luks_complain(&failure);
}
