/* SPDX-License-Identifier: BSD-3-Clause */
/* Public keys: asked for once a version, then kept with the key. */
#include <stdlib.h>
#include <string.h>

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
        entry->public_der = copy;
        entry->public_size = size;
        copy = NULL;
    }
    module_unlock();
    free(copy);
}

CK_RV token_public_key(struct token *token, const struct object *object, uint8_t *der, size_t *size)
{
    struct vks_use use = {.key_version = object->key.version};
    int error;

    if (recall(token, object, der, size))
        return CKR_OK;
    memcpy(use.key_id, object->key.id, sizeof(use.key_id));
    error = vks_public(token->device, &use, der, size);
    if (error) {
        token_changed(token);
        return status_rv(error, STATUS_OBJECT);
    }
    keep(token, object, der, *size);
    return CKR_OK;
}
