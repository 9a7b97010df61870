/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Keys that requests wait for: granted, and not here. The lane notes each, keystored has the custodian bring them, the
 * requests are decided anew. One list is away at a time, and the ring goes on meanwhile.
 *
 *   gathering -> away -> gathering
 *
 * What did not come is not asked for again at once: requests for it are refused for a second.
 */
#ifndef VKS_WORKER_KEY_WANTS_H
#define VKS_WORKER_KEY_WANTS_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc.h"
#include "snapshot_table.h"

struct key_wants {
    struct vks_worker_keys_wanted list;    /* being gathered, or away */
    struct vks_worker_keys_wanted refused; /* what did not come */
    uint64_t refused_until_ns;             /* CLOCK_MONOTONIC */
    bool away;
};

/* Note one. Nothing happens while a list is away or full: the next time that the request is decided it is noted. */
void key_wants_note(struct key_wants *wants, const struct vks_snapshot_key *entry);
/* Whether it was asked for a moment ago, and did not come. */
bool key_wants_is_refused(const struct key_wants *wants, const struct vks_snapshot_key *entry, uint64_t now_ns);
/* The list to send now, or NULL: it is away from here on. */
const struct vks_worker_keys_wanted *key_wants_take(struct key_wants *wants);
/* What was away has come, or has not: *table* knows. */
void key_wants_settle(struct key_wants *wants, const struct snapshot_table *table, uint64_t now_ns);

#endif
