/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The snapshot: what one guest may do, published by keystored as an immutable (sealed) memfd and compiled by the
 * worker.
 *
 * Header, then key_count entries ordered by key id, then version. It carries no key material. A worker copies it to
 * private memory before looking at it, switches to it between two requests and then acknowledges the generation.
 */
#ifndef VKS_SNAPSHOT_H
#define VKS_SNAPSHOT_H

#include <stdint.h>

enum vks_snapshot_limit {
    VKS_SNAPSHOT_MAGIC = 0x534b5631, /* "1VKS" */
    VKS_SNAPSHOT_VERSION = 3,
    VKS_SNAPSHOT_KEYS_MAX = 131072,
    VKS_SNAPSHOT_UIDS_MAX = 8,
    VKS_SNAPSHOT_POLL_US_MAX = 1000,
    VKS_SNAPSHOT_RATE_MAX = 1000000,
};

struct vks_snapshot_head {
    uint32_t magic;
    uint32_t version;
    uint64_t generation; /* grows with every publication to this worker */
    uint32_t key_count;
    uint32_t poll_us;      /* how long a worker looks at its ring before it sleeps, 0: not at all */
    uint32_t own_keys_max; /* how many keys of its own the guest may have */
    uint32_t reserved;
    uint8_t guest_name[64]; /* NUL-padded */
};

struct vks_snapshot_key {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t type;    /* enum vks_key_type */
    uint32_t state;   /* enum vks_key_state */
    uint32_t current; /* 1: key_version 0 means this one; at most one a key id */
    uint64_t op_mask;
    uint64_t mechanism_mask;  /* what the grant allows and the type can do */
    uint64_t not_before_s;    /* UNIX time, 0: no bound */
    uint64_t not_after_s;     /* UNIX time, 0: no bound; the second itself is still allowed */
    uint32_t input_bytes_max; /* per request, 0: no bound of the grant's own */
    uint32_t uid_count;       /* 0: every uid; else the request must carry VKS_REQUEST_F_UID and one of uids */
    uint32_t uids[8];
    uint64_t ops_max;      /* operations in all, 0: no bound */
    uint64_t budget_id;    /* whose *budget* must be */
    uint32_t ops_a_second; /* up to VKS_SNAPSHOT_RATE_MAX, 0: no bound; bursts of one second's worth */
    uint32_t budget;       /* index + 1 of the grant's counters in state memory; 0 where it has neither bound */
    uint8_t label[64];
};

_Static_assert(sizeof(struct vks_snapshot_head) == 96, "snapshot head layout");
_Static_assert(sizeof(struct vks_snapshot_key) == 192, "snapshot key layout");

#endif
