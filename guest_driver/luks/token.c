/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "json_member.h"
#include "token.h"

/* Exactly @size bytes, lower case. */
static bool bytes_of_hex(const char *text, uint8_t *bytes, size_t size)
{
    static const char digits[] = "0123456789abcdef";

    if (!text || strlen(text) != 2 * size)
        return false;
    for (size_t i = 0; i < 2 * size; i++) {
        const char *found = strchr(digits, text[i]);

        if (!found)
            return false;
        bytes[i / 2] = (uint8_t)(bytes[i / 2] << 4 | (found - digits));
    }
    return true;
}

static bool members_parse(json_object *object, struct luks_token *token, struct failure *failure)
{
    const char *type = json_member_text(object, "type");
    const char *label = json_member_text(object, "label");
    uint32_t version;

    *token = (struct luks_token){0};
    if (!type || strcmp(type, LUKS_TOKEN_TYPE) != 0)
        return fail(failure, -EINVAL, NULL, "the token is not of type " LUKS_TOKEN_TYPE);
    if (!json_member_number(object, "version", &version))
        return fail(failure, -EINVAL, NULL, "the token is damaged: it has no version");
    if (version != LUKS_TOKEN_VERSION)
        return fail(failure, -ENOTSUP, "a newer package vks-luks may know it",
                    "the token is of version %" PRIu32 ", and this program knows version %d", version,
                    LUKS_TOKEN_VERSION);
    if (!bytes_of_hex(json_member_text(object, "key"), token->key_id, sizeof(token->key_id)) ||
        !json_member_number(object, "key_version", &token->key_version))
        return fail(failure, -EINVAL, NULL, "the token is damaged: it names no key");
    /* Which also keeps control characters from a terminal. */
    if (!label || !vks_label_is_valid(label))
        return fail(failure, -EINVAL, NULL, "the token is damaged: its label is none");
    snprintf(token->label, sizeof(token->label), "%s", label);
    if (!bytes_of_hex(json_member_text(object, "sealed"), token->sealed, sizeof(token->sealed)))
        return fail(failure, -EINVAL, NULL, "the token is damaged: its sealed secret has another form");
    return true;
}

bool token_parse(const char *json, struct luks_token *token, struct failure *failure)
{
    json_object *object = json_read_object(json);
    bool is_one;

    if (!object)
        return fail(failure, -EINVAL, NULL, "the token is damaged: it is no JSON object");
    is_one = members_parse(object, token, failure);
    json_object_put(object);
    return is_one;
}

static void hex_of_bytes(const uint8_t *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
}

void token_format(const struct luks_token *token, int keyslot, char json[LUKS_TOKEN_JSON_BYTES])
{
    char key[2 * VKS_KEY_ID_BYTES + 1];
    char sealed[2 * LUKS_SEALED_BYTES + 1];

    hex_of_bytes(token->key_id, sizeof(token->key_id), key);
    hex_of_bytes(token->sealed, sizeof(token->sealed), sealed);
    /* No text in it needs escaping: a label has letters, digits, '.', '_' and '-'. */
    snprintf(json, LUKS_TOKEN_JSON_BYTES,
             "{\"type\": \"" LUKS_TOKEN_TYPE "\", \"keyslots\": [\"%d\"], \"version\": %d, \"key\": \"%s\", "
             "\"key_version\": %" PRIu32 ", \"label\": \"%s\", \"sealed\": \"%s\"}",
             keyslot, LUKS_TOKEN_VERSION, key, token->key_version, token->label, sealed);
}
