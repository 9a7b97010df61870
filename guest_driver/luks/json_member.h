/* SPDX-License-Identifier: BSD-3-Clause */
/* JSON objects that somebody else wrote, and their members: of the type that is asked for, or not there. */
#ifndef VKS_LUKS_JSON_MEMBER_H
#define VKS_LUKS_JSON_MEMBER_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* The object that @text is, for json_object_put(); NULL: it is none. */
json_object *json_read_object(const char *text);
/* A text without NULs in it, or NULL. It lives as long as @object. */
const char *json_member_text(json_object *object, const char *name);
/* A whole number of 1 to UINT32_MAX. */
bool json_member_number(json_object *object, const char *name, uint32_t *number);
/* An object, or NULL. It lives as long as @object. */
json_object *json_member_object(json_object *object, const char *name);

#endif
