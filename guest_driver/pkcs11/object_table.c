/* SPDX-License-Identifier: BSD-3-Clause */
#include "object_table.h"

#include <stdlib.h>
#include <string.h>

#include "key_type.h"

static uint32_t bytes_hash(const void *data, size_t size)
{
    const uint8_t *bytes = data;
    uint32_t hash = 2166136261u; /* FNV-1a */

    for (size_t i = 0; i < size; i++)
        hash = (hash ^ bytes[i]) * 16777619u;
    return hash;
}

static size_t number_hash(uint64_t number)
{
    return (size_t)(number * UINT64_C(0x9e3779b97f4a7c15) >> 32);
}

/* One entry a key: of each run of versions the current one, or where none is the newest. */
static size_t group(struct object_entry *entries, const struct vks_key *keys, size_t count)
{
    size_t groups = 0;

    for (size_t i = 0; i < count;) {
        struct object_entry *entry = &entries[groups];
        size_t end = i;

        *entry = (struct object_entry){.first = &keys[i]};
        for (; end < count && memcmp(keys[end].id, keys[i].id, sizeof(keys[i].id)) == 0; end++)
            if (!entry->current || !entry->current->is_current)
                entry->current = &keys[end];
        entry->version_count = (uint32_t)(end - i);
        /* A type that came after this module is nothing it could describe. */
        if (key_type_find(entry->current->type))
            groups++;
        i = end;
    }
    return groups;
}

/* Both tables are in the order of ids. */
static void number(struct object_table *table, const struct object_table *old, uint64_t *next_number)
{
    size_t at = 0;

    for (size_t i = 0; i < table->count; i++) {
        struct object_entry *entry = &table->entries[i];
        int order = 1;

        while (old && at < old->count &&
               (order = memcmp(old->entries[at].current->id, entry->current->id, VKS_KEY_ID_BYTES)) < 0)
            at++;
        entry->number = old && at < old->count && order == 0 ? old->entries[at].number : (*next_number)++;
    }
}

static void index_entries(struct object_table *table)
{
    for (size_t i = table->count; i-- > 0;) {
        struct object_entry *entry = &table->entries[i];
        uint32_t *bucket =
            &table->by_label[bytes_hash(entry->current->label, strlen(entry->current->label)) & table->bucket_mask];
        size_t at = number_hash(entry->number) & table->bucket_mask;

        table->types[entry->current->type].count++;
        table->has_private |= entry->current->op_mask >> VKS_OP_LOGIN & 1;
        entry->next_same_label = *bucket;
        *bucket = (uint32_t)i + 1;
        while (table->by_number[at])
            at = (at + 1) & table->bucket_mask;
        table->by_number[at] = (uint32_t)i + 1;
    }
}

struct object_table *object_table_make(struct vks_key *keys, size_t count, const struct object_table *old,
                                       uint64_t *next_number)
{
    struct object_table *table = calloc(1, sizeof(*table));
    size_t buckets = 16;

    if (!table) {
        free(keys);
        return NULL;
    }
    /* At most half full. */
    while (buckets < 2 * count)
        buckets *= 2;
    table->references = 1;
    table->keys = keys;
    table->bucket_mask = buckets - 1;
    table->entries = calloc(count ? count : 1, sizeof(*table->entries));
    table->by_label = calloc(buckets, sizeof(*table->by_label));
    table->by_number = calloc(buckets, sizeof(*table->by_number));
    table->by_public = calloc(buckets, sizeof(*table->by_public));
    if (!table->entries || !table->by_label || !table->by_number || !table->by_public) {
        object_table_free(table);
        return NULL;
    }
    table->count = group(table->entries, keys, count);
    number(table, old, next_number);
    index_entries(table);
    return table;
}

void object_table_inherit(struct object_table *table, struct object_table *old)
{
    for (size_t i = 0; i < old->count; i++) {
        struct object_entry *from = &old->entries[i], *to;

        if (!from->public_der)
            continue;
        to = object_table_by_id(table, from->current->id);
        if (!to || to->current->version != from->current->version)
            continue;
        object_table_keep_public(table, to, from->public_der, from->public_size);
        from->public_der = NULL;
    }
}

void object_table_keep_public(struct object_table *table, struct object_entry *entry, uint8_t *der, size_t size)
{
    size_t at = bytes_hash(der, size) & table->bucket_mask;

    while (table->by_public[at])
        at = (at + 1) & table->bucket_mask;
    table->by_public[at] = (uint32_t)(entry - table->entries) + 1;
    entry->public_der = der;
    entry->public_size = size;
}

struct object_entry *object_table_by_public(const struct object_table *table, struct vks_bytes der)
{
    for (size_t at = bytes_hash(der.data, der.size) & table->bucket_mask; table->by_public[at];
         at = (at + 1) & table->bucket_mask) {
        struct object_entry *entry = &table->entries[table->by_public[at] - 1];

        /* A newer table may have taken it. */
        if (entry->public_der && entry->public_size == der.size && memcmp(entry->public_der, der.data, der.size) == 0)
            return entry;
    }
    return NULL;
}

struct object_entry *object_table_unasked(struct object_table *table, uint32_t type)
{
    size_t *at = &table->types[type].asked;

    for (; *at < table->count; (*at)++)
        if (table->entries[*at].current->type == type && !table->entries[*at].public_der)
            return &table->entries[*at];
    return NULL;
}

void object_table_asked(struct object_table *table, uint32_t type, uint64_t number)
{
    const struct object_entry *entry = object_table_unasked(table, type);

    /* Another thread may have been faster. */
    if (entry && entry->number == number)
        table->types[type].asked++;
}

void object_table_free(struct object_table *table)
{
    if (!table)
        return;
    for (size_t i = 0; i < table->count; i++)
        free(table->entries[i].public_der);
    free(table->entries);
    free(table->by_label);
    free(table->by_number);
    free(table->by_public);
    free(table->keys);
    free(table);
}

struct object_entry *object_table_by_number(const struct object_table *table, uint64_t number)
{
    size_t at = number_hash(number) & table->bucket_mask;

    for (; table->by_number[at]; at = (at + 1) & table->bucket_mask)
        if (table->entries[table->by_number[at] - 1].number == number)
            return &table->entries[table->by_number[at] - 1];
    return NULL;
}

struct object_entry *object_table_by_id(const struct object_table *table, const uint8_t id[VKS_KEY_ID_BYTES])
{
    size_t low = 0, high = table->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = memcmp(table->entries[middle].current->id, id, VKS_KEY_ID_BYTES);

        if (order == 0)
            return &table->entries[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

uint32_t object_table_by_label(const struct object_table *table, const char *label, size_t size)
{
    return table->by_label[bytes_hash(label, size) & table->bucket_mask];
}

void object_fill(const struct object_entry *entry, enum object_kind kind, struct object *object)
{
    *object = (struct object){
        .handle = OBJECT_HANDLE(entry->number, kind),
        .kind = kind,
        .key = *entry->current,
    };
    for (uint32_t i = entry->version_count; i-- > 0 && object->older_count < OBJECT_OLDER_MAX;)
        if (entry->first[i].version != entry->current->version)
            object->older[object->older_count++] = entry->first[i].version;
}

bool object_entry_is_pair(const struct object_entry *entry)
{
    const struct key_type *key_type = key_type_find(entry->current->type);

    return key_type && key_type->is_pair;
}
