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

static int load_slots(struct key_loads *loads, const struct vks_secret_map *page, uint32_t key_count)
{
    struct vks_key_slot_walk walk = {.page = page->bytes, .page_bytes = page->size_bytes};
    struct vks_key_slot slot;
    const uint8_t *material;
    int error = 0;

    for (uint32_t i = 0; !error && i < key_count; i++) {
        int found = vks_key_slot_next(&walk, &slot, &material);

        if (found != 1)
            return found < 0 ? found : -EPROTO;
        error = vks_key_load(&slot, material, &loads->key[loads->count]);
        if (!error)
            loads->count++;
    }
    return error;
}

int key_loads_add(struct key_loads *loads, const struct vks_keys *keys, int fd)
{
    uint32_t before = loads->count;
    struct vks_secret_map page;
    int error = make_room(loads, keys->key_count);

    if (error)
        return error;
    error = vks_secret_map_open(&page, fd, keys->size_bytes, (enum vks_secret_memory)keys->secret_memory);
    if (error)
        return error;
    error = load_slots(loads, &page, keys->key_count);
    vks_secret_map_wipe(&page);
    while (error && loads->count > before)
        vks_key_unref(loads->key[--loads->count]);
    return error;
}

/* Takes the reference. */
static void settle(struct snapshot_table *fresh, struct vks_key *key)
{
    int64_t index = snapshot_table_find(fresh, vks_key_id(key), vks_key_version(key));

    if (index < 0 || fresh->key[index] || fresh->entry[index].type != vks_key_type(key) ||
        fresh->entry[index].state == VKS_KEY_STATE_DESTROYED)
        vks_key_unref(key);
    else
        fresh->key[index] = key;
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
