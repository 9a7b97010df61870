/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Finding objects (PKCS#11 v3.0, 5.7.7 to 5.7.9). By CKA_ID or CKA_LABEL only what has that id or label is looked at,
 * however many keys there are. What is found is what there is when it begins.
 */
#define _GNU_SOURCE /* explicit_bzero */
#include <stdlib.h>
#include <string.h>

#include "certificate_object.h"
#include "module.h"
#include "session.h"

#define NOTHING_MATCHES CKR_ATTRIBUTE_VALUE_INVALID /* inside this file */

struct search {
    struct token *token;
    const CK_ATTRIBUTE *attributes;
    CK_ULONG count;
    struct find *find;
    size_t room;
    bool is_known;                         /* there is a key of that id or label, whatever else it is */
    struct certificate_list *certificates; /* NULL: another class is wanted */
};

static const CK_ATTRIBUTE *attribute_named(const struct search *search, CK_ATTRIBUTE_TYPE type)
{
    for (CK_ULONG i = 0; i < search->count; i++)
        if (search->attributes[i].type == type)
            return &search->attributes[i];
    return NULL;
}

/* @otherwise, where none is wanted. */
static CK_OBJECT_CLASS wanted_class(const struct search *search, CK_OBJECT_CLASS otherwise)
{
    const CK_ATTRIBUTE *class = attribute_named(search, CKA_CLASS);

    if (class && class->ulValueLen == sizeof(otherwise))
        memcpy(&otherwise, class->pValue, sizeof(otherwise));
    return otherwise;
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
    CK_RV rv = token_shows(search->token, object) ? CKR_OK : NOTHING_MATCHES;

    for (int is_asked = 0; is_asked < 2; is_asked++)
        for (CK_ULONG i = 0; rv == CKR_OK && i < search->count; i++)
            if (attribute_is_of_public_key(object, search->attributes[i].type) == is_asked)
                rv = match_one(search, object, &search->attributes[i]);
    return rv;
}

static CK_RV add(struct search *search, CK_OBJECT_HANDLE handle)
{
    struct find *find = search->find;

    if (find->count == search->room) {
        size_t room = search->room ? 2 * search->room : 16;
        CK_OBJECT_HANDLE *grown = realloc(find->handles, room * sizeof(*grown));

        if (!grown)
            return CKR_HOST_MEMORY;
        find->handles = grown;
        search->room = room;
    }
    find->handles[find->count++] = handle;
    return CKR_OK;
}

static CK_RV add_match(struct search *search, const struct object *object)
{
    CK_RV rv = match(search, object);

    if (rv == CKR_OK)
        return add(search, object->handle);
    return rv == NOTHING_MATCHES ? CKR_OK : rv;
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

/* The same of one that is looked for by its name, which may have certificates. */
static CK_RV try_named(struct search *search, const struct object_entry *entry)
{
    struct object object;
    CK_RV rv = CKR_OK;

    search->is_known = true;
    object_fill(entry, OBJECT_KEY, &object);
    if (search->certificates && search->certificates->count && object_entry_is_pair(entry))
        rv = token_public_key_learn(search->token, &object);
    return rv == CKR_OK ? try_entry(search, entry) : rv;
}

static CK_RV try_label(struct search *search, const struct object_table *table, const CK_ATTRIBUTE *label)
{
    CK_RV rv = CKR_OK;

    for (uint32_t at = object_table_by_label(table, label->pValue, label->ulValueLen); rv == CKR_OK && at;
         at = table->entries[at - 1].next_same_label) {
        const char *found = table->entries[at - 1].current->label;

        if (strlen(found) != label->ulValueLen || memcmp(found, label->pValue, label->ulValueLen) != 0)
            continue;
        rv = try_named(search, &table->entries[at - 1]);
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
        return entry ? try_named(search, entry) : CKR_OK;
    }
    if (label)
        return label->ulValueLen ? try_label(search, table, label) : CKR_OK;
    if (wanted_class(search, CKO_PRIVATE_KEY) == CKO_CERTIFICATE)
        return CKR_OK;
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

static CK_RV try_certificates(struct search *search)
{
    const struct certificate_list *list = search->certificates;
    CK_RV rv = CKR_OK;

    for (size_t i = 0; list && rv == CKR_OK && i < list->count; i++) {
        const struct certificate_entry *entry = &list->entries[i];

        rv = certificate_match(search->token, entry, search->attributes, search->count);
        if (rv == CKR_OK)
            rv = add(search, OBJECT_HANDLE(entry->number, OBJECT_CERTIFICATE));
        else if (rv == CKR_OBJECT_HANDLE_INVALID)
            rv = CKR_OK;
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
    if (rv == CKR_OK)
        rv = try_secrets(search);
    return rv == CKR_OK ? try_certificates(search) : rv;
}

/* Whether a key is looked for by name, which may have been granted just now: not a certificate. */
static bool is_worth_another_look(const struct search *search)
{
    CK_OBJECT_CLASS wanted = wanted_class(search, CKO_PRIVATE_KEY);

    return !search->is_known && (wanted == CKO_PUBLIC_KEY || wanted == CKO_PRIVATE_KEY || wanted == CKO_SECRET_KEY) &&
           (attribute_named(search, CKA_ID) || attribute_named(search, CKA_LABEL));
}

static CK_RV find_begin(struct session *session, const CK_ATTRIBUTE *attributes, CK_ULONG count)
{
    struct search search = {session->token, attributes, count, &session->find, 0, false, NULL};
    CK_RV rv = CKR_OK;

    if (session->find.is_active)
        return CKR_OPERATION_ACTIVE;
    if (count && !attributes)
        return CKR_ARGUMENTS_BAD;
    for (CK_ULONG i = 0; i < count; i++)
        if (attributes[i].ulValueLen && !attributes[i].pValue)
            return CKR_ATTRIBUTE_VALUE_INVALID;
    if (wanted_class(&search, CKO_CERTIFICATE) == CKO_CERTIFICATE)
        rv = token_certificates_get(search.token, &search.certificates);
    if (rv == CKR_OK)
        rv = find_all(&search, TOKEN_FRESH_MS);
    if (rv == CKR_OK && !session->find.count && is_worth_another_look(&search))
        rv = find_all(&search, token_look_again_ms(session->token));
    token_certificates_put(search.certificates);
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
