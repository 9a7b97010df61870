/* SPDX-License-Identifier: BSD-3-Clause */
#include "token.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "clock.h"
#include "device_nodes.h"
#include "module.h"
#include "status.h"

#define LISTINGS_PAUSE 8 /* times what the last one took */

/* With the module's lock. */
static struct token *tokens;
static bool has_looked;

/* With the module's lock. */
static struct token *token_by_slot(CK_SLOT_ID slot)
{
    for (struct token *token = tokens; token; token = token->next)
        if (token->slot == slot)
            return token;
    return NULL;
}

/* With the module's lock. A node that went away and came back is the same slot. */
static void token_add(const struct device_node *node, const char *certificate_folder)
{
    struct token *token = token_by_slot(node->number);
    struct token **link = &tokens;

    if (token)
        return;
    token = calloc(1, sizeof(*token));
    if (!token)
        return;
    token->slot = node->number;
    memcpy(token->path, node->path, sizeof(token->path));
    memcpy(token->certificate_folder, certificate_folder, sizeof(token->certificate_folder));
    pthread_mutex_init(&token->work, NULL);
    while (*link && (*link)->slot < token->slot)
        link = &(*link)->next;
    token->next = *link;
    *link = token;
}

void tokens_look(bool is_anew)
{
    struct device_node nodes[TOKEN_SLOTS_MAX];
    char folder[TOKEN_PATH_BYTES] = {0};
    size_t count;

    module_lock();
    is_anew |= !has_looked;
    module_unlock();
    if (!is_anew)
        return;
    count = device_nodes_find(nodes, TOKEN_SLOTS_MAX);
    certificate_folder(folder, sizeof(folder));
    module_lock();
    for (size_t i = 0; i < count; i++)
        token_add(&nodes[i], folder);
    /* Not before: another thread would not find what this one is still looking for. */
    has_looked = true;
    module_unlock();
}

size_t tokens_list(CK_SLOT_ID slots[TOKEN_SLOTS_MAX])
{
    size_t found = 0;

    module_lock();
    for (const struct token *token = tokens; token && found < TOKEN_SLOTS_MAX; token = token->next)
        slots[found++] = token->slot;
    module_unlock();
    return found;
}

CK_RV token_find(CK_SLOT_ID slot, struct token **token)
{
    tokens_look(false);
    module_lock();
    *token = token_by_slot(slot);
    module_unlock();
    return *token ? CKR_OK : CKR_SLOT_ID_INVALID;
}

/* What a thread held that fork() left behind is left, too: its references say so. */
void tokens_clear(void)
{
    has_looked = false;
    while (tokens) {
        struct token *token = tokens;

        tokens = token->next;
        if (token->table && token->table->references == 1)
            object_table_free(token->table);
        if (token->certificates && token->certificates->references == 1)
            certificate_list_free(token->certificates);
        secret_list_clear(&token->secrets, CK_INVALID_HANDLE);
        vks_close(token->device);
        /* Not destroyed: in a child another thread of its parent may have it. */
        free(token);
    }
}

CK_RV token_open(struct token *token)
{
    struct vks_device_info info;
    struct vks_device *device;
    int error = 0;

    pthread_mutex_lock(&token->work);
    if (!token->device) {
        error = vks_open(token->path, &device);
        if (!error && (error = vks_info(device, &info)))
            vks_close(device);
        if (!error) {
            module_lock();
            token->device = device;
            module_unlock();
        }
    }
    pthread_mutex_unlock(&token->work);
    if (!error)
        return CKR_OK;
    /* -EBUSY: another process is this guest. */
    return error == -ENOMEM ? CKR_HOST_MEMORY : CKR_TOKEN_NOT_PRESENT;
}

CK_RV token_info(struct token *token, struct vks_device_info *info)
{
    CK_RV rv = token_open(token);
    int error;

    if (rv != CKR_OK)
        return rv;
    error = vks_info(token->device, info);
    if (error)
        return status_rv(error, STATUS_OBJECT) == CKR_DEVICE_REMOVED ? CKR_TOKEN_NOT_PRESENT : CKR_DEVICE_ERROR;
    return CKR_OK;
}

bool token_is_present(struct token *token)
{
    struct vks_device_info info;

    return token_info(token, &info) == CKR_OK;
}

void token_changed(struct token *token)
{
    module_lock();
    token->change++;
    module_unlock();
}

/* A reference to the present table, if it is fresh enough. */
static struct object_table *table_take(struct token *token, uint64_t age_ms)
{
    struct object_table *table;

    module_lock();
    table = token->table;
    if (table && age_ms != TOKEN_ANY_AGE && (table->change != token->change || clock_ms() - table->loaded_ms >= age_ms))
        table = NULL;
    if (table)
        table->references++;
    module_unlock();
    return table;
}

/* With work. */
static CK_RV table_load(struct token *token)
{
    struct object_table *table, *old;
    struct vks_key *keys;
    uint64_t loaded_ms = clock_ms(), change;
    size_t count;
    int error;

    module_lock();
    change = token->change;
    module_unlock();
    error = vks_list(token->device, &keys, &count);
    if (error)
        return status_rv(error, STATUS_OBJECT);
    table = object_table_make(keys, count, token->table, &token->next_number);
    if (!table)
        return CKR_HOST_MEMORY;
    table->loaded_ms = loaded_ms;
    table->took_ms = clock_ms() - loaded_ms;
    table->change = change;
    module_lock();
    old = token->table;
    if (old)
        object_table_inherit(table, old);
    token->table = table;
    module_unlock();
    token_table_put(old);
    return CKR_OK;
}

CK_RV token_table_get(struct token *token, uint64_t age_ms, struct object_table **table)
{
    CK_RV rv = CKR_OK;

    *table = table_take(token, age_ms);
    if (*table)
        return CKR_OK;
    pthread_mutex_lock(&token->work);
    /* Whoever had it before may have loaded it. */
    *table = table_take(token, age_ms);
    if (!*table) {
        rv = table_load(token);
        if (rv == CKR_OK)
            *table = table_take(token, TOKEN_ANY_AGE);
    }
    pthread_mutex_unlock(&token->work);
    return rv;
}

void token_table_put(struct object_table *table)
{
    bool is_last;

    if (!table)
        return;
    module_lock();
    is_last = --table->references == 0;
    module_unlock();
    if (is_last)
        object_table_free(table);
}

uint64_t token_look_again_ms(struct token *token)
{
    uint64_t age_ms;

    module_lock();
    age_ms = token->table ? LISTINGS_PAUSE * token->table->took_ms : 0;
    module_unlock();
    return age_ms;
}

bool token_shows(struct token *token, const struct object *object)
{
    bool is_shown;

    if (!object_is_private(object))
        return true;
    module_lock();
    is_shown = token->is_logged_in;
    module_unlock();
    return is_shown;
}

CK_RV token_object(struct token *token, CK_OBJECT_HANDLE handle, uint64_t age_ms, struct object *object)
{
    enum object_kind kind = OBJECT_KIND(handle);
    const struct object_entry *entry;
    struct object_table *table;
    bool is_found;
    CK_RV rv;

    if (kind == OBJECT_SECRET) {
        module_lock();
        is_found = secret_list_find(&token->secrets, handle, object);
        module_unlock();
        return is_found ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
    }
    if (kind != OBJECT_KEY && kind != OBJECT_PUBLIC)
        return CKR_OBJECT_HANDLE_INVALID;
    rv = token_table_get(token, age_ms, &table);
    if (rv != CKR_OK)
        return rv;
    entry = object_table_by_number(table, OBJECT_NUMBER(handle));
    is_found = entry && (kind == OBJECT_KEY || object_entry_is_pair(entry));
    if (is_found)
        object_fill(entry, kind, object);
    token_table_put(table);
    return is_found ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
}

CK_RV token_object_by_id(struct token *token, const uint8_t id[VKS_KEY_ID_BYTES], struct object *object)
{
    const struct object_entry *entry;
    struct object_table *table;
    CK_RV rv = token_table_get(token, TOKEN_FRESH_MS, &table);

    if (rv != CKR_OK)
        return rv;
    entry = object_table_by_id(table, id);
    if (entry)
        object_fill(entry, OBJECT_KEY, object);
    token_table_put(table);
    return entry ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
}
