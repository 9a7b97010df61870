/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "json_member.h"
#include "segment.h"

/* What there is in names of ciphers, of dm-crypt's form and of the kernel's ("capi:xts(aes)-plain64"). */
#define NAME_CHARACTERS "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_:,()."
#define DIGITS          "0123456789"

/* Nothing else may be in it: device mapper takes the text apart at blanks, and the next part is the key. */
static bool take(const char *text, const char *characters, char *room, size_t size)
{
    int length = text ? snprintf(room, size, "%s", text) : -1;

    return length > 0 && (size_t)length < size && text[strspn(text, characters)] == '\0';
}

static bool is_settled(json_object *segment)
{
    json_object *flags;

    return !json_object_object_get_ex(segment, "flags", &flags) ||
           (json_object_is_type(flags, json_type_array) && json_object_array_length(flags) == 0);
}

static bool integrity_parse(json_object *object, struct luks_segment *segment)
{
    json_object *integrity;

    if (!json_object_object_get_ex(object, "integrity", &integrity))
        return true;
    return json_object_is_type(integrity, json_type_object) &&
           take(json_member_text(integrity, "type"), NAME_CHARACTERS, segment->integrity, sizeof(segment->integrity));
}

static bool members_parse(json_object *header, struct luks_segment *segment, struct failure *failure)
{
    json_object *segments = json_member_object(header, "segments");
    json_object *only = segments ? json_member_object(segments, "0") : NULL;
    const char *type;

    *segment = (struct luks_segment){0};
    if (!only || json_object_object_length(segments) != 1 || !is_settled(only))
        return fail(failure, -EINVAL, "'cryptsetup reencrypt --resume-only' ends what was begun",
                    "the disk is being encrypted anew, or in parts");
    type = json_member_text(only, "type");
    if (!type || strcmp(type, "crypt") != 0)
        return fail(failure, -EINVAL, TAMPERED_HINT,
                    "the data of this disk is not encrypted by dm-crypt (segment of type %.20s)",
                    type && !type[strspn(type, NAME_CHARACTERS)] ? type : "unknown");
    if (!take(json_member_text(only, "encryption"), NAME_CHARACTERS, segment->encryption,
              sizeof(segment->encryption)) ||
        !take(json_member_text(only, "iv_tweak"), DIGITS, segment->iv_tweak, sizeof(segment->iv_tweak)) ||
        !json_member_number(only, "sector_size", &segment->sector_bytes) || !integrity_parse(only, segment))
        return fail(failure, -EINVAL, TAMPERED_HINT, "the header names no cipher for the data of this disk");
    /* cipher_null, and whatever else the kernel calls so. */
    if (strstr(segment->encryption, "null"))
        return fail(failure, -EINVAL, TAMPERED_HINT, "the data of this disk is not encrypted (%s)",
                    segment->encryption);
    return true;
}

bool segment_parse(const char *json, struct luks_segment *segment, struct failure *failure)
{
    json_object *header = json_read_object(json);
    bool is_one;

    if (!header)
        return fail(failure, -EINVAL, NULL, "the header's metadata is no JSON object");
    is_one = members_parse(header, segment, failure);
    json_object_put(header);
    return is_one;
}
