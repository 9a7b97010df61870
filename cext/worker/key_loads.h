/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys on their way from the custodian into the table.
 *
 * Those that come before their snapshot wait for it: it takes those it names and drops the rest, so that a key of no
 * grant does not stay in memory. Those that were asked for under the snapshot in force go straight into its table.
 */
#ifndef VKS_WORKER_KEY_LOADS_H
#define VKS_WORKER_KEY_LOADS_H

#include <stdint.h>

#include "ipc.h"
#include "key.h"
#include "key_room.h"
#include "snapshot_table.h"

struct key_loads {
    struct vks_key **key; /* one reference each */
    uint32_t count;
    uint32_t room;
};

/*
 * Load every slot of the secret page behind *fd*, then wipe it, keeping room in *table* by *room*. 0 or a negative
 * errno; then none of them is loaded.
 */
__attribute__((warn_unused_result)) int key_loads_add(struct key_loads *loads, const struct vks_keys *keys, int fd,
                                                      struct key_room *room, struct snapshot_table *table);
/* The same, into *table* at once, as VKS_LOAD_F_FILL says. 0, or what was wrong with the first that did not come. */
__attribute__((warn_unused_result)) int key_loads_fill(const struct vks_keys *keys, int fd, struct key_room *room,
                                                       struct snapshot_table *table);
/*
 * Give *fresh* its keys: those loaded since, and those of *old* that it still names. All references of *loads* and
 * *old* are used up. A destroyed version keeps no key.
 */
void key_loads_settle(struct key_loads *loads, struct snapshot_table *old, struct snapshot_table *fresh);

#endif
