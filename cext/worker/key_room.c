/* SPDX-License-Identifier: Apache-2.0 */
/* Second chance: one bit a key instead of an order, so that a use costs one store. */
#include "key_room.h"

#include <stdbool.h>

#include "key.h"
#include "secret_arena.h"

enum {
    FREE_PARTS = 4, /* one of them for contexts, engines and what is being computed */
};

static bool has_room(void)
{
    struct vks_secret_arena_usage usage = vks_secret_arena_usage();

    return usage.size_bytes - usage.used_bytes >= usage.size_bytes / FREE_PARTS;
}

void key_room_keep(struct key_room *room, struct snapshot_table *table)
{
    uint32_t count = table ? table->head.key_count : 0;

    if (!count || has_room())
        return;
    for (uint32_t i = 0; i < count; i++) {
        struct vks_key **key;

        room->hand = room->hand < count ? room->hand : 0;
        key = &table->key[room->hand++];
        if (!*key || !vks_key_may_go(*key))
            continue;
        vks_key_unref(*key);
        *key = NULL;
        if (has_room())
            return;
    }
}
