/* SPDX-License-Identifier: BSD-3-Clause */
/* Public keys: asked for once a version, then kept with the key. */
#include <stdlib.h>
#include <string.h>

#include "key_type.h"
#include "module.h"
#include "status.h"
#include "token.h"

/* The entry of the version that @object is, in the present table; with the module's lock. */
static struct object_entry *entry_of(struct token *token, const struct object *object)
{
    struct object_entry *entry = token->table ? object_table_by_id(token->table, object->key.id) : NULL;

    return entry && entry->current->version == object->key.version ? entry : NULL;
}

static bool recall(struct token *token, const struct object *object, uint8_t *der, size_t *size)
{
    const struct object_entry *entry;
    bool is_there;

    module_lock();
    entry = entry_of(token, object);
    is_there = entry && entry->public_der && entry->public_size <= *size;
    if (is_there) {
        memcpy(der, entry->public_der, entry->public_size);
        *size = entry->public_size;
    }
    module_unlock();
    return is_there;
}

static void keep(struct token *token, const struct object *object, const uint8_t *der, size_t size)
{
    struct object_entry *entry;
    uint8_t *copy = malloc(size);

    if (!copy)
        return;
    memcpy(copy, der, size);
    module_lock();
    entry = entry_of(token, object);
    if (entry && !entry->public_der) {
        object_table_keep_public(token->table, entry, copy, size);
        copy = NULL;
    }
    module_unlock();
    free(copy);
}

/* 0, enum vks_status or a negative errno. */
static int ask(struct token *token, const struct object *object, uint8_t *der, size_t *size)
{
    struct vks_use use = {.key_version = object->key.version};
    int error;

    if (recall(token, object, der, size))
        return 0;
    memcpy(use.key_id, object->key.id, sizeof(use.key_id));
    error = vks_public(token->device, &use, der, size);
    if (!error)
        keep(token, object, der, *size);
    return error;
}

CK_RV token_public_key(struct token *token, const struct object *object, uint8_t *der, size_t *size)
{
    int error = ask(token, object, der, size);

    /* Not where it is refused: that is no news of the keys, and may stay so (the grant begins later). */
    if (error == VKS_STATUS_NO_KEY || error == VKS_STATUS_KEY_STATE)
        token_changed(token);
    return error ? status_rv(error, STATUS_OBJECT) : CKR_OK;
}

CK_RV token_public_key_learn(struct token *token, const struct object *object)
{
    uint8_t der[TOKEN_PUBLIC_KEY_BYTES_MAX];
    size_t size = sizeof(der);
    int error = ask(token, object, der, &size);

    return error < 0 ? status_rv(error, STATUS_OBJECT) : CKR_OK;
}

CK_RV token_object_known_by_public(struct token *token, struct vks_bytes der, struct object *object)
{
    const struct object_entry *entry;

    module_lock();
    entry = token->table ? object_table_by_public(token->table, der) : NULL;
    if (entry)
        object_fill(entry, OBJECT_KEY, object);
    module_unlock();
    return entry ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
}

/* Public keys of the keys with this label. */
static CK_RV learn_label(struct token *token, const char *label)
{
    struct object_table *table;
    struct object object;
    CK_RV rv = token_table_get(token, TOKEN_FRESH_MS, &table);

    if (rv != CKR_OK)
        return rv;
    for (uint32_t at = object_table_by_label(table, label, strlen(label)); rv == CKR_OK && at;
         at = table->entries[at - 1].next_same_label) {
        if (strcmp(table->entries[at - 1].current->label, label) != 0 || !object_entry_is_pair(&table->entries[at - 1]))
            continue;
        object_fill(&table->entries[at - 1], OBJECT_KEY, &object);
        rv = token_public_key_learn(token, &object);
    }
    token_table_put(table);
    return rv;
}

enum step { STEP_FOUND, STEP_ASK, STEP_AGAIN, STEP_END };

/* @object: what was found, or whose public key is to be asked for; it is of @type, of which 0 is none. */
static enum step look(struct token *token, struct object_table *table, struct vks_bytes der, uint32_t type,
                      struct object *object)
{
    const struct object_entry *entry;
    enum step step = STEP_AGAIN;

    module_lock();
    /* Public keys go over to a newer table: what this one misses means nothing then. */
    if (token->table == table) {
        entry = object_table_by_public(table, der);
        step = entry ? STEP_FOUND : STEP_END;
        if (!entry && type && table->types[type].count <= TOKEN_ASKED_MAX &&
            (entry = object_table_unasked(table, type)))
            step = STEP_ASK;
        if (entry)
            object_fill(entry, OBJECT_KEY, object);
    }
    module_unlock();
    return step;
}

/* However it is answered. */
static CK_RV ask_next(struct token *token, struct object_table *table, const struct object *object)
{
    CK_RV rv = token_public_key_learn(token, object);

    module_lock();
    object_table_asked(table, object->key.type, OBJECT_NUMBER(object->handle));
    module_unlock();
    return rv;
}

CK_RV token_object_by_public(struct token *token, struct vks_bytes der, const char *label, struct object *object)
{
    uint32_t type = key_type_of_public_key(der);
    enum step step = STEP_AGAIN;
    unsigned int asked = 0;
    CK_RV rv = learn_label(token, label);

    while (rv == CKR_OK && (step == STEP_ASK || step == STEP_AGAIN)) {
        struct object_table *table;

        /* As fresh as it was when this began. */
        rv = token_table_get(token, TOKEN_ANY_AGE, &table);
        if (rv != CKR_OK)
            break;
        step = look(token, table, der, type, object);
        /* A newer table has those that were refused to be asked for anew. */
        if (step == STEP_ASK && ++asked > TOKEN_ASKED_MAX)
            step = STEP_END;
        if (step == STEP_ASK)
            rv = ask_next(token, table, object);
        token_table_put(table);
    }
    return rv == CKR_OK && step == STEP_END ? CKR_OBJECT_HANDLE_INVALID : rv;
}
