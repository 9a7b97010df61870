/* SPDX-License-Identifier: BSD-3-Clause */
#include <string.h>

#include "json_member.h"

json_object *json_read_object(const char *text)
{
    json_object *object = json_tokener_parse(text);

    if (json_object_is_type(object, json_type_object))
        return object;
    json_object_put(object);
    return NULL;
}

const char *json_member_text(json_object *object, const char *name)
{
    json_object *member;
    const char *text;

    if (!json_object_object_get_ex(object, name, &member) || !json_object_is_type(member, json_type_string))
        return NULL;
    text = json_object_get_string(member);
    return strlen(text) == (size_t)json_object_get_string_len(member) ? text : NULL;
}

bool json_member_number(json_object *object, const char *name, uint32_t *number)
{
    json_object *member;
    int64_t value;

    if (!json_object_object_get_ex(object, name, &member) || !json_object_is_type(member, json_type_int))
        return false;
    value = json_object_get_int64(member);
    if (value < 1 || value > UINT32_MAX)
        return false;
    *number = (uint32_t)value;
    return true;
}

json_object *json_member_object(json_object *object, const char *name)
{
    json_object *member;

    return json_object_object_get_ex(object, name, &member) && json_object_is_type(member, json_type_object) ? member
                                                                                                             : NULL;
}
