/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Room for keys in the secret arena. A guest may be granted more keys than it has room for: those it has not used for
 * longest are given up, and the custodian brings them again when they are asked for (key_wants.h).
 *
 * Knows the table and how full the arena is; must not know requests.
 */
#ifndef VKS_WORKER_KEY_ROOM_H
#define VKS_WORKER_KEY_ROOM_H

#include <stdbool.h>
#include <stdint.h>

#include "snapshot_table.h"

struct key_room {
    uint32_t hand; /* the entry to look at next, as of a clock */
};

/*
 * Give up keys of *table* until a quarter of the arena is free, or each has been looked at once: a key that was used,
 * or came, since it was looked at last keeps its place. NULL is well. No key may be borrowed.
 * Whether so much is free.
 */
bool key_room_keep(struct key_room *room, struct snapshot_table *table);
/* The arena is full for a key that comes, whatever is free in it: give up a few others. False: none could go. */
bool key_room_make(struct key_room *room, struct snapshot_table *table);

#endif
