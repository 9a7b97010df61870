/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "header.h"
#include "segment.h"

/* Below that a key could be guessed when the header was forged. */
#define KEYSLOT_KEY_BYTES_MIN 16

/* libcryptsetup explains by its log; what it says to this program is in its return values. */
static void no_log(int level, const char *message, void *data)
{
    (void)level;
    (void)message;
    (void)data;
}

bool header_load(const char *path, struct crypt_device **header, struct failure *failure)
{
    int error;

    crypt_set_log_callback(NULL, no_log, NULL);
    error = crypt_init(header, path);
    if (error) {
        *header = NULL;
        return fail(failure, error, NULL, "%.120s: %s", path,
                    error == -ENOTBLK ? "no such block device or file, or no permission" : strerror(-error));
    }
    error = crypt_load(*header, CRYPT_LUKS, NULL);
    if (!error && strcmp(crypt_get_type(*header), CRYPT_LUKS2) == 0)
        return true;
    crypt_free(*header);
    *header = NULL;
    if (!error)
        return fail(failure, -EINVAL, "LUKS1 has no tokens: 'cryptsetup convert --type luks2' makes one of it",
                    "%.120s: the header is of LUKS1, not LUKS2", path);
    if (error == -EINVAL)
        return fail(failure, error, NULL, "%.120s: no LUKS2 header", path);
    return fail(failure, error, NULL, "%.120s: %s", path, strerror(-error));
}

static bool is_active(struct crypt_device *header, int keyslot)
{
    crypt_keyslot_info status = crypt_keyslot_status(header, keyslot);

    return status == CRYPT_SLOT_ACTIVE || status == CRYPT_SLOT_ACTIVE_LAST;
}

/* The keyslot of a token: the first that it is assigned to and that is there. */
static int keyslot_of(struct crypt_device *header, int token)
{
    int count = crypt_keyslot_max(CRYPT_LUKS2);

    for (int keyslot = 0; keyslot < count; keyslot++) {
        if (is_active(header, keyslot) && crypt_token_is_assigned(header, token, keyslot) == 0)
            return keyslot;
    }
    return -1;
}

bool header_next_token(struct crypt_device *header, int after, struct header_token *token)
{
    int count = crypt_token_max(CRYPT_LUKS2);

    for (int number = after + 1; number < count; number++) {
        const char *type = NULL;

        if (crypt_token_status(header, number, &type) <= CRYPT_TOKEN_INACTIVE || !type ||
            strcmp(type, LUKS_TOKEN_TYPE) != 0)
            continue;
        *token = (struct header_token){.number = number, .keyslot = keyslot_of(header, number)};
        if (crypt_token_json_get(header, number, &token->json) >= 0)
            return true;
    }
    return false;
}

bool header_find_token(struct crypt_device *header, struct header_token *found, struct luks_token *token,
                       struct failure *failure)
{
    bool is_left_over = false;

    for (int after = -1; header_next_token(header, after, found); after = found->number) {
        if (found->keyslot >= 0)
            return token_parse(found->json, token, failure);
        is_left_over = true;
    }
    if (is_left_over)
        return fail(failure, -ENOENT, "'vks luks remove' clears it away, then 'vks luks enroll'",
                    "the keyslot of the vault's token is gone");
    return fail(failure, -ENOENT, "'vks luks enroll' makes one", "the header has no token of the vault");
}

bool header_binding(struct crypt_device *header, char binding[LUKS_BINDING_BYTES], struct failure *failure)
{
    const char *uuid = crypt_get_uuid(header);
    struct luks_segment segment;
    const char *json;
    int size = crypt_dump_json(header, &json, 0);

    if (size < 0)
        return fail(failure, size, NULL, "the header's metadata cannot be read: %s", strerror(-size));
    if (!uuid)
        return fail(failure, -EINVAL, NULL, "the header says no UUID");
    if (!segment_parse(json, &segment, failure))
        return false;
    size = snprintf(binding, LUKS_BINDING_BYTES, "vmm-keystore luks %d\n%s\n%s\n%s\n%" PRIu32 "\n%s\n%d\n",
                    LUKS_TOKEN_VERSION, uuid, segment.encryption, segment.iv_tweak, segment.sector_bytes,
                    segment.integrity, crypt_get_volume_key_size(header));
    if (size < 0 || size >= LUKS_BINDING_BYTES)
        return fail(failure, -EINVAL, NULL, "the header's UUID is longer than any");
    return true;
}

/* Of whoever's: where there is one that any secret opens, cryptsetup may open the disk by that one. */
static bool check_all(struct crypt_device *header, struct failure *failure)
{
    for (int keyslot = 0; keyslot < crypt_keyslot_max(CRYPT_LUKS2); keyslot++) {
        size_t key_bytes = 0;
        const char *cipher =
            is_active(header, keyslot) ? crypt_keyslot_get_encryption(header, keyslot, &key_bytes) : "";

        /* "null" is libcryptsetup's short name of cipher_null-ecb. */
        if (!cipher || strstr(cipher, "null") || (*cipher && key_bytes < KEYSLOT_KEY_BYTES_MIN))
            return fail(failure, -EINVAL, TAMPERED_HINT, "keyslot %d is not encrypted", keyslot);
    }
    return true;
}

bool header_check_keyslot(struct crypt_device *header, int keyslot, struct failure *failure)
{
    struct crypt_pbkdf_type pbkdf;
    size_t key_bytes;
    const char *cipher = crypt_keyslot_get_encryption(header, keyslot, &key_bytes);

    if (!cipher || crypt_keyslot_get_pbkdf(header, keyslot, &pbkdf) || !pbkdf.type || !pbkdf.hash)
        return fail(failure, -EINVAL, NULL, "keyslot %d does not say how it is encrypted", keyslot);
    if (strcmp(cipher, LUKS_KEYSLOT_CIPHER) != 0 || key_bytes != LUKS_KEYSLOT_KEY_BYTES ||
        crypt_keyslot_get_key_size(header, keyslot) != crypt_get_volume_key_size(header) ||
        strcmp(pbkdf.type, LUKS_PBKDF_TYPE) != 0 || strcmp(pbkdf.hash, LUKS_PBKDF_HASH) != 0)
        return fail(failure, -EINVAL, TAMPERED_HINT, "keyslot %d is not encrypted as 'vks luks enroll' does it",
                    keyslot);
    return check_all(header, failure);
}

static bool is_ours(struct crypt_device *header, int keyslot)
{
    struct header_token token;

    for (int after = -1; header_next_token(header, after, &token); after = token.number) {
        if (crypt_token_is_assigned(header, token.number, keyslot) == 0)
            return true;
    }
    return false;
}

int header_other_ways(struct crypt_device *header)
{
    int count = 0;

    for (int keyslot = 0; keyslot < crypt_keyslot_max(CRYPT_LUKS2); keyslot++) {
        if (is_active(header, keyslot) && !is_ours(header, keyslot))
            count++;
    }
    return count;
}
