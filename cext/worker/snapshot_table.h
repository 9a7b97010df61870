/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot in force: a private, checked copy, and where each entry's key is.
 *
 * Knows the layout of snapshot.h and order; must not know what a key is made of or who may do what.
 */
#ifndef VKS_WORKER_SNAPSHOT_TABLE_H
#define VKS_WORKER_SNAPSHOT_TABLE_H

#include <stddef.h>
#include <stdint.h>

#include "snapshot.h"

struct vks_key;

struct snapshot_table {
    struct vks_snapshot_head head;
    uint32_t guest_key_count; /* key ids with a version that is not destroyed */
    uint32_t current_count;
    struct vks_snapshot_key *entry; /* head.key_count, ordered by key id, then version */
    struct vks_key **key;           /* of each entry; NULL where none is loaded; the table owns one reference */
    uint32_t *current;              /* entries that version 0 means, in the same order */
    size_t map_bytes;               /* the three arrays and this structure are one mapping */
};

/*
 * Copy the snapshot in *fd* and check it. 0, or -EPROTO: not sealed, not of *size_bytes*, not *generation*, out of
 * order, or a field out of range; -ENOMEM.
 */
__attribute__((warn_unused_result)) int snapshot_table_read(struct snapshot_table **table, int fd, uint64_t size_bytes,
                                                            uint64_t generation);
/* The keys must be gone from it. NULL is fine. */
void snapshot_table_free(struct snapshot_table *table);
/* Index of an entry, version 0 meaning the current one; -1 where there is none, or no table. */
int64_t snapshot_table_find(const struct snapshot_table *table, const uint8_t key_id[16], uint32_t version);
/* Index of the first entry behind (key id, version). */
uint32_t snapshot_table_after(const struct snapshot_table *table, const uint8_t key_id[16], uint32_t version);

#endif
