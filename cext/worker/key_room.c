/* SPDX-License-Identifier: Apache-2.0 */
/* Second chance: one bit a key instead of an order, so that a use costs one store. */
#include "key_room.h"

#include "key.h"
#include "secret_arena.h"

enum {
    FREE_PARTS = 4, /* one of them for contexts, engines and what is being computed */
    AT_ONCE = 16,
};

static bool has_room(void)
{
    struct vks_secret_arena_usage usage = vks_secret_arena_usage();

    return usage.size_bytes - usage.used_bytes >= usage.size_bytes / FREE_PARTS;
}

/* The next of *table* that may go goes, within *steps* entries. */
static bool give_up_one(struct key_room *room, struct snapshot_table *table, uint32_t *steps)
{
    uint32_t count = table->head.key_count;

    while (*steps) {
        struct vks_key **key;

        --*steps;
        room->hand = room->hand < count ? room->hand : 0;
        key = &table->key[room->hand++];
        if (!*key || !vks_key_may_go(*key))
            continue;
        vks_key_unref(*key);
        *key = NULL;
        return true;
    }
    return false;
}

bool key_room_keep(struct key_room *room, struct snapshot_table *table)
{
    uint32_t steps = table ? table->head.key_count : 0;

    while (!has_room())
        if (!steps || !give_up_one(room, table, &steps))
            return false;
    return true;
}

bool key_room_make(struct key_room *room, struct snapshot_table *table)
{
    /* Twice around: the first time all may have been used. */
    uint32_t steps = table ? 2 * table->head.key_count : 0, given_up = 0;

    while (steps && given_up < AT_ONCE && give_up_one(room, table, &steps))
        given_up++;
    return given_up > 0;
}
