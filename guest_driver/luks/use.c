/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands that leave the header as it is: list, check, open, secret. */
#define _GNU_SOURCE /* explicit_bzero */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "commands.h"
#include "io.h"
#include "keyslot.h"

static void print_token(const struct header_token *found, bool as_json, bool is_first)
{
    char key_id[2 * VKS_KEY_ID_BYTES + 1];
    struct failure failure;
    struct luks_token token;
    bool is_one = token_parse(found->json, &token, &failure);

    if (is_one)
        hex_text(token.key_id, sizeof(token.key_id), key_id);
    if (as_json) {
        printf("%s{\"token\": %d, \"keyslot\": ", is_first ? "" : ", ", found->number);
        if (found->keyslot < 0)
            printf("null");
        else
            printf("%d", found->keyslot);
        if (is_one)
            printf(", \"label\": \"%s\", \"key\": \"%s\", \"key_version\": %" PRIu32 "}", token.label, key_id,
                   token.key_version);
        else
            printf(", \"problem\": \"%s\"}", failure.text);
        return;
    }
    if (found->keyslot < 0)
        printf("token %d, no keyslot: ", found->number);
    else
        printf("token %d, keyslot %d: ", found->number, found->keyslot);
    if (is_one)
        printf("key %s, version %" PRIu32 ", %s\n", token.label, token.key_version, key_id);
    else
        printf("%s\n", failure.text);
}

int luks_list(const struct luks_options *options)
{
    bool as_json = options->given & LUKS_OPTION_JSON;
    struct header_token found;
    struct crypt_device *header;
    struct failure failure;
    bool is_first = true;

    if (!header_load(options->operands[0], &header, &failure))
        return luks_complain(&failure);
    if (as_json)
        printf("[");
    for (int after = -1; header_next_token(header, after, &found); after = found.number) {
        print_token(&found, as_json, is_first);
        is_first = false;
    }
    if (as_json)
        printf("]\n");
    crypt_free(header);
    return 0;
}

/* What the kernel may lack where the secret is right, and says of it "Invalid argument" or less; NULL: none of that. */
static const char *lacking(const char *disk)
{
    struct stat status;

    if (geteuid() != 0)
        return "only root opens disks";
    if (stat(disk, &status) == 0 && S_ISREG(status.st_mode) && access("/dev/loop-control", F_OK) != 0)
        return "a file is opened by way of a loop device, which this kernel does not have: modprobe loop";
    return access("/dev/mapper/control", F_OK) == 0 ? NULL : "this kernel has no device mapper: modprobe dm-crypt";
}

/* Opens the disk as @name, or with NULL tries its keyslot alone; then gives the secret, which the caller wipes. */
static bool unlock(const struct luks_options *options, const char *name, struct header_token *found,
                   struct luks_token *token, uint8_t secret[LUKS_SECRET_BYTES], struct failure *failure)
{
    struct crypt_device *header;
    uint32_t flags = 0;
    bool is_open;
    int error;

    if (options->given & LUKS_OPTION_READONLY)
        flags |= CRYPT_ACTIVATE_READONLY;
    if (options->given & LUKS_OPTION_ALLOW_DISCARDS)
        flags |= CRYPT_ACTIVATE_ALLOW_DISCARDS;
    is_open = header_load(options->operands[0], &header, failure) &&
              keyslot_secret(header, options->device, found, token, secret, failure);
    if (is_open) {
        error =
            crypt_activate_by_passphrase(header, name, found->keyslot, (const char *)secret, LUKS_SECRET_BYTES, flags);
        if (error == -EPERM)
            is_open =
                fail(failure, error, "the keyslot was changed: another way in, then 'vks luks remove' and 'enroll'",
                     "the vault's secret does not open keyslot %d", found->keyslot);
        else if (error < 0)
            is_open = fail(failure, error, name ? lacking(options->operands[0]) : NULL,
                           "%.120s could not be opened: %s", options->operands[0], strerror(-error));
    }
    crypt_free(header);
    return is_open;
}

int luks_check(const struct luks_options *options)
{
    uint8_t secret[LUKS_SECRET_BYTES];
    struct header_token found;
    struct luks_token token;
    struct failure failure;
    bool is_open = unlock(options, NULL, &found, &token, secret, &failure);

    explicit_bzero(secret, sizeof(secret));
    if (!is_open)
        return luks_complain(&failure);
    printf("keyslot %d is opened by key %s, version %" PRIu32 "\n", found.keyslot, token.label, token.key_version);
    return 0;
}

int luks_open(const struct luks_options *options)
{
    uint8_t secret[LUKS_SECRET_BYTES];
    struct header_token found;
    struct luks_token token;
    struct failure failure;
    bool is_open = unlock(options, options->operands[1], &found, &token, secret, &failure);

    explicit_bzero(secret, sizeof(secret));
    return is_open ? 0 : luks_complain(&failure);
}

int luks_secret(const struct luks_options *options)
{
    uint8_t secret[LUKS_SECRET_BYTES];
    struct header_token found;
    struct luks_token token;
    struct failure failure;
    bool is_open;

    if (isatty(STDOUT_FILENO)) {
        (void)fail(&failure, -EINVAL, "it is for cryptsetup: vks luks secret DISK | cryptsetup ... --key-file -",
                   "will not print a secret on a terminal");
        return luks_complain(&failure);
    }
    is_open = unlock(options, NULL, &found, &token, secret, &failure);
    /* Not by stdio, whose buffer nobody wipes. */
    if (is_open && write(STDOUT_FILENO, secret, sizeof(secret)) != (ssize_t)sizeof(secret))
        is_open = fail(&failure, -EIO, NULL, "the secret could not be written");
    explicit_bzero(secret, sizeof(secret));
    return is_open ? 0 : luks_complain(&failure);
}
