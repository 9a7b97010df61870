/* SPDX-License-Identifier: Apache-2.0 */
/* From the custodian's page to keys in use, and from one snapshot to the next. */
#include "key_loads.h"

#include <errno.h>
#include <stdlib.h>

#include "key_slot.h"
#include "secret_map.h"
#include "vmm_keystore.h"

static int make_room(struct key_loads *loads, uint32_t count)
{
    struct vks_key **key;

    if (count > VKS_SNAPSHOT_KEYS_MAX || loads->count > VKS_SNAPSHOT_KEYS_MAX - count)
        return -ENOSPC;
    if (loads->count + count <= loads->room)
        return 0;
    key = realloc(loads->key, (loads->count + count) * sizeof(*key));
    if (!key)
        return -ENOMEM;
    loads->key = key;
    loads->room = loads->count + count;
    return 0;
}

/* The next slot of the page as a key: 0, -EPROTO: the page is at its end or broken, or as vks_key_load says. */
static int load_next(struct vks_key_slot_walk *walk, struct vks_key **key)
{
    struct vks_key_slot slot;
    const uint8_t *material;

    *key = NULL;
    if (vks_key_slot_next(walk, &slot, &material) != 1)
        return -EPROTO;
    return vks_key_load(&slot, material, key);
}

static int open_page(struct vks_secret_map *page, const struct vks_keys *keys, int fd, struct vks_key_slot_walk *walk)
{
    int error = vks_secret_map_open(page, fd, keys->size_bytes, (enum vks_secret_memory)keys->secret_memory);

    if (!error)
        *walk = (struct vks_key_slot_walk){.page = page->bytes, .page_bytes = page->size_bytes};
    return error;
}

int key_loads_add(struct key_loads *loads, const struct vks_keys *keys, int fd, struct key_room *room,
                  struct snapshot_table *table)
{
    uint32_t before = loads->count;
    struct vks_key_slot_walk walk;
    struct vks_secret_map page;
    int error = make_room(loads, keys->key_count);

    if (!error)
        error = open_page(&page, keys, fd, &walk);
    if (error)
        return error;
    for (uint32_t i = 0; !error && i < keys->key_count; i++) {
        /* These wait, and cannot be given up: what requests need stays free. */
        error = key_room_keep(room, table) ? load_next(&walk, &loads->key[loads->count]) : -ENOMEM;
        if (!error)
            loads->count++;
    }
    vks_secret_map_wipe(&page);
    while (error && loads->count > before)
        vks_key_unref(loads->key[--loads->count]);
    return error;
}

/* Takes the reference. */
static void settle(struct snapshot_table *table, struct vks_key *key)
{
    int64_t index = snapshot_table_find(table, vks_key_id(key), vks_key_version(key));

    if (index < 0 || table->key[index] || table->entry[index].type != vks_key_type(key) ||
        table->entry[index].state == VKS_KEY_STATE_DESTROYED)
        vks_key_unref(key);
    else
        table->key[index] = key;
}

int key_loads_fill(const struct vks_keys *keys, int fd, struct key_room *room, struct snapshot_table *table)
{
    struct vks_key_slot_walk walk, from;
    struct vks_secret_map page;
    int first = open_page(&page, keys, fd, &walk), error = first;

    if (first)
        return first;
    for (uint32_t i = 0; error != -EPROTO && i < keys->key_count; i++) {
        struct vks_key *key;

        (void)key_room_keep(room, table);
        from = walk;
        while ((error = load_next(&walk, &key)) == -ENOMEM && key_room_make(room, table))
            walk = from;
        if (!error)
            settle(table, key);
        else if (!first)
            first = error;
    }
    vks_secret_map_wipe(&page);
    return first;
}

void key_loads_settle(struct key_loads *loads, struct snapshot_table *old, struct snapshot_table *fresh)
{
    /* The newest load of a version wins: it carries the newest nonce lease. */
    while (loads->count)
        settle(fresh, loads->key[--loads->count]);
    free(loads->key);
    *loads = (struct key_loads){0};
    for (uint32_t i = 0; old && i < old->head.key_count; i++) {
        if (old->key[i])
            settle(fresh, old->key[i]);
        old->key[i] = NULL;
    }
}
