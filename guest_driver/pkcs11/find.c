/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding objects (PKCS#11 v3.0, 5.7.7 to 5.7.9). By CKA_ID or CKA_LABEL only what has that id or label is looked at,
 * however many keys there are. What is found is what there is when it begins.
 */
#define _GNU_SOURCE /* explicit_bzero */
#include <stdlib.h>
#include <string.h>

#include "attribute.h"
#include "module.h"
#include "session.h"

#define NOTHING_MATCHES CKR_ATTRIBUTE_VALUE_INVALID /* inside this file */

struct search {
    struct token *token;
    const CK_ATTRIBUTE *attributes;
    CK_ULONG count;
    struct find *find;
    size_t room;
    bool is_known; /* there is a key of that id or label, whatever else it is */
};

static const CK_ATTRIBUTE *attribute_named(const struct search *search, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; i < search->count; i++)
        if (search->attributes[i].type == type)
            return &search->attributes[i];
    return NULL;
}

static CK_RV match_one(const struct search *search, const struct object *object, const CK_ATTRIBUTE *wanted)
{
    struct attribute_value value;
    CK_RV rv = attribute_get(search->token, object, wanted->type, &value);

    if (rv == CKR_ATTRIBUTE_TYPE_INVALID || rv == CKR_ATTRIBUTE_SENSITIVE || rv == CKR_OBJECT_HANDLE_INVALID)
        rv = NOTHING_MATCHES;
    else if (rv == CKR_OK &&
             (value.size != wanted->ulValueLen || (value.size && memcmp(value.data, wanted->pValue, value.size) != 0)))
        rv = NOTHING_MATCHES;
    if (object->kind == OBJECT_SECRET && wanted->type == CKA_VALUE)
        explicit_bzero(&value, sizeof(value));
    return rv;
}

/* CKR_OK: it is what is looked for; NOTHING_MATCHES: it is not. What the device would have to be asked for comes last.
 */
static CK_RV match(const struct search *search, const struct object *object)
{
    CK_RV rv = CKR_OK;

    for (int is_asked = 0; is_asked < 2; is_asked++)
        for (CK_ULONG i = 0; rv == CKR_OK && i < search->count; i++)
            if (attribute_is_of_public_key(object, search->attributes[i].type) == is_asked)
                rv = match_one(search, object, &search->attributes[i]);
    return rv;
}

static CK_RV add_match(struct search *search, const struct object *object)
{
    struct find *find = search->find;
    CK_RV rv = match(search, object);

    if (rv != CKR_OK)
        return rv == NOTHING_MATCHES ? CKR_OK : rv;
    if (find->count == search->room) {
        size_t room = search->room ? 2 * search->room : 16;
        CK_OBJECT_HANDLE *grown = realloc(find->handles, room * sizeof(*grown));

        if (!grown)
            return CKR_HOST_MEMORY;
        find->handles = grown;
        search->room = room;
    }
    find->handles[find->count++] = object->handle;
    return CKR_OK;
}

static CK_RV try_entry(struct search *search, const struct object_entry *entry)
{
    struct object object;
    CK_RV rv;

    object_fill(entry, OBJECT_KEY, &object);
    rv = add_match(search, &object);
    if (rv != CKR_OK || !object_entry_is_pair(entry))
        return rv;
    object_fill(entry, OBJECT_PUBLIC, &object);
    return add_match(search, &object);
}

static CK_RV try_label(struct search *search, const struct object_table *table, const CK_ATTRIBUTE *label)
{
    CK_RV rv = CKR_OK;

    for (uint32_t at = object_table_by_label(table, label->pValue, label->ulValueLen); rv == CKR_OK && at;
         at = table->entries[at - 1].next_same_label) {
        const char *found = table->entries[at - 1].current->label;

        if (strlen(found) != label->ulValueLen || memcmp(found, label->pValue, label->ulValueLen) != 0)
            continue;
        search->is_known = true;
        rv = try_entry(search, &table->entries[at - 1]);
    }
    return rv;
}

static CK_RV try_table(struct search *search, const struct object_table *table)
{
    const CK_ATTRIBUTE *id = attribute_named(search, CKA_ID), *label = attribute_named(search, CKA_LABEL);
    const struct object_entry *entry;
    CK_RV rv = CKR_OK;

    if (id) {
        entry = id->ulValueLen == VKS_KEY_ID_BYTES ? object_table_by_id(table, id->pValue) : NULL;
        search->is_known = !!entry;
        return entry ? try_entry(search, entry) : CKR_OK;
    }
    if (label)
        return label->ulValueLen ? try_label(search, table, label) : CKR_OK;
    for (size_t i = 0; rv == CKR_OK && i < table->count; i++)
        rv = try_entry(search, &table->entries[i]);
    return rv;
}

static CK_RV try_secrets(struct search *search)
{
    struct object object;
    bool is_there = true;
    CK_RV rv = CKR_OK;

    for (size_t i = 0; rv == CKR_OK && is_there; i++) {
        module_lock();
        is_there = secret_list_at(&search->token->secrets, i, &object);
        module_unlock();
        if (is_there)
            rv = add_match(search, &object);
    }
    return rv;
}

static CK_RV find_all(struct search *search, uint64_t age_ms)
{
    struct object_table *table;
    CK_RV rv = token_table_get(search->token, age_ms, &table);

    if (rv != CKR_OK)
        return rv;
    rv = try_table(search, table);
    token_table_put(table);
    return rv == CKR_OK ? try_secrets(search) : rv;
}

/* Whether a key is looked for by name, which may have been granted just now: not a certificate, which there are none
 * of. */
static bool is_worth_another_look(const struct search *search)
{
    const CK_ATTRIBUTE *class = attribute_named(search, CKA_CLASS);
    CK_OBJECT_CLASS wanted = CKO_PRIVATE_KEY;

    if (class && class->ulValueLen == sizeof(wanted))
        memcpy(&wanted, class->pValue, sizeof(wanted));
    return !search->is_known && (wanted == CKO_PUBLIC_KEY || wanted == CKO_PRIVATE_KEY || wanted == CKO_SECRET_KEY) &&
           (attribute_named(search, CKA_ID) || attribute_named(search, CKA_LABEL));
}

static CK_RV find_begin(struct session *session, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct search search = {session->token, attributes, count, &session->find, 0, false};
    CK_RV rv;

    if (session->find.is_active)
        return CKR_OPERATION_ACTIVE;
    if (count && !attributes)
        return CKR_ARGUMENTS_BAD;
    for (CK_ULONG i = 0; i < count; i++)
        if (attributes[i].ulValueLen && !attributes[i].pValue)
            return CKR_ATTRIBUTE_VALUE_INVALID;
    rv = find_all(&search, TOKEN_FRESH_MS);
    if (rv == CKR_OK && !session->find.count && is_worth_another_look(&search))
        rv = find_all(&search, token_look_again_ms(session->token));
    if (rv != CKR_OK)
        find_end(&session->find);
    else
        session->find.is_active = true;
    return rv;
}

void find_end(struct find *find)
{
    free(find->handles);
    *find = (struct find){0};
}

CK_RV C_FindObjectsInit(CK_SESSION_HANDLE handle, CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, find_begin(session, attributes, count)) : rv;
}

CK_RV C_FindObjects(CK_SESSION_HANDLE handle, CK_OBJECT_HANDLE *objects, CK_ULONG room, CK_ULONG *count)
{
    struct session *session;
    struct find *find;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    find = &session->find;
    if (!find->is_active) {
        rv = CKR_OPERATION_NOT_INITIALIZED;
    } else if (!count || (room && !objects)) {
        rv = CKR_ARGUMENTS_BAD;
    } else {
        *count = find->count - find->given < room ? find->count - find->given : room;
        if (*count)
            memcpy(objects, find->handles + find->given, *count * sizeof(*objects));
        find->given += *count;
    }
    return session_leave(session, rv);
}

CK_RV C_FindObjectsFinal(CK_SESSION_HANDLE handle)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    if (!session->find.is_active)
        rv = CKR_OPERATION_NOT_INITIALIZED;
    find_end(&session->find);
    return session_leave(session, rv);
}
