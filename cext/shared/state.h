/* SPDX-License-Identifier: Apache-2.0 */
/*
 * State memory: one file on tmpfs per guest, mapped by its worker and by keystored, trusted by neither.
 *
 * It holds what must survive SIGKILL of any process: per queue the split in-flight table of vhost-user's inflight
 * protocol extended by sequence and attempt, budgets, the audit ring and latencies. Layout, every part 64-byte aligned:
 *
 *   struct vks_state_head | per queue: struct vks_state_queue, VKS_STATE_QUEUE_SIZE_MAX struct vks_state_slot |
 *   struct vks_state_charge | VKS_STATE_BUDGETS_MAX struct vks_state_budget (budget.h) | audit ring |
 *   VKS_LATENCY_MAX struct vks_latency (latency.h)
 *
 * Version 3 ended with the audit ring, and is the beginning of this one: it is grown in place, also while a worker of
 * then still has it.
 *
 * Order of writes for one request: in-flight mark, decision and audit record, result bytes, used element, used.idx,
 * mark cleared (DESIGN 3).
 */
#ifndef VKS_STATE_H
#define VKS_STATE_H

#include <stdbool.h>
#include <stdint.h>

enum vks_state_limit {
    VKS_STATE_MAGIC = 0x53535631, /* "1VSS" */
    VKS_STATE_VERSION = 5,
    VKS_STATE_VERSION_BEFORE = 4,
    VKS_STATE_QUEUES_MAX = 4,
    VKS_STATE_SEQUENCE_SHIFT = 48, /* a number of a request is exact in a double, as JSON's readers have it */
    VKS_STATE_QUEUE_SIZE_MAX = 1024,
    VKS_STATE_BUDGETS_MAX = 1024,
};

struct vks_state_head {
    uint32_t magic;
    uint32_t version;
    uint32_t size_bytes;
    uint32_t queue_count;
    uint64_t next_sequence; /* of the version before, which had one queue */
    uint64_t reserved[5];
};

/* Fields up to used_idx as in vhost-user's "struct QueueRegionSplit". */
struct vks_state_queue {
    uint64_t features;
    uint16_t version; /* 1 */
    uint16_t desc_num;
    uint16_t last_batch_head;
    uint16_t used_idx;            /* shadow: what the last completed batch published */
    uint64_t next_counter;        /* requests ever taken from the available ring: their order, and their numbers */
    uint64_t start_id;            /* of the VKS_WORKER_RING_START that this table belongs to, 0: none yet */
    uint16_t last_batch_used_idx; /* what used_idx becomes with the answer to last_batch_head */
    uint16_t padding[3];
    uint64_t reserved[3];
};

enum vks_state_run {
    VKS_STATE_RUN_DEATHS_MASK = 0x7f, /* workers that died while they executed it */
    VKS_STATE_RUN_EXECUTING = 0x80,   /* one executes it, or died over it */
};

/* One per descriptor head, as "struct DescStateSplit" plus sequence and attempt. */
struct vks_state_slot {
    uint8_t inflight; /* 1 from taking the head until its used element is published */
    uint8_t run;      /* enum vks_state_run: one byte, so that it changes in one store */
    uint8_t charged;  /* 1: its operation counts against the grant's budget already, also when it is run again */
    uint8_t padding[3];
    uint16_t next; /* batch list, for the repair of the last batch */
    uint64_t counter;
    uint64_t sequence;
    uint32_t attempt;
    uint32_t taken; /* CLOCK_REALTIME in ns >> 20, wraps: when it was taken from the available ring; 0: unknown */
};

/* A charge under way: written whole before it begins, done once more by whoever finds it. */
struct vks_state_charge {
    uint32_t budget; /* index + 1; 0: none is under way */
    uint16_t head;   /* of the request */
    uint16_t queue;  /* whose */
    uint64_t used;   /* what the budget's fields become */
    uint64_t next_ns;
    uint64_t reserved[5];
};

/* What one grant with a budget has used. The worker writes used and next_ns, keystored the rest. */
struct vks_state_budget {
    uint64_t id;      /* of the grant's budget, 0: nobody's */
    uint64_t used;    /* operations that have begun */
    uint64_t leased;  /* so many are on disk as used; *used* must not go beyond */
    uint64_t low;     /* when *used* gets here keystored is asked for more */
    uint64_t next_ns; /* CLOCK_MONOTONIC: when one more operation would be right on time, see vks_policy_charge */
    uint64_t reserved[3];
};

_Static_assert(sizeof(struct vks_state_head) == 64, "state head layout");
_Static_assert(sizeof(struct vks_state_queue) == 64, "state queue layout");
_Static_assert(sizeof(struct vks_state_slot) == 32, "state slot layout");
_Static_assert(sizeof(struct vks_state_charge) == 64, "state charge layout");
_Static_assert(sizeof(struct vks_state_budget) == 64, "state budget layout");

/* Size of a state memory file in bytes. */
uint32_t vks_state_bytes(void);
/* Lay out a fresh, zeroed mapping of vks_state_bytes(). */
void vks_state_init(void *state);
/* Size of a file of VKS_STATE_VERSION_BEFORE in bytes: less. */
uint32_t vks_state_bytes_before(void);
/* 0 when a mapping of *size_bytes* is one that the version before made, or that was being grown, else -EPROTO. */
int vks_state_check_before(const void *state, uint64_t size_bytes);
/* Make this version's of it: the mapping has vks_state_bytes() now, zeroes where it was grown. */
void vks_state_upgrade(void *state);
/* 0 when head, sizes and audit ring of a mapping of *size_bytes* are ones this version made, else -EPROTO. */
int vks_state_check(const void *state, uint64_t size_bytes);
struct vks_state_queue *vks_state_queue(void *state, uint32_t queue);
/*
 * The number of the request that was taken from *queue* after *counter* others: no other one of this guest has it, and
 * those of a queue have no gap.
 */
uint64_t vks_state_sequence(uint32_t queue, uint64_t counter);
/* Whether a request was ever taken from any queue. */
bool vks_state_is_used(void *state);
struct vks_state_slot *vks_state_slots(void *state, uint32_t queue);
struct vks_state_charge *vks_state_charge(void *state);
/* *index* below VKS_STATE_BUDGETS_MAX. */
struct vks_state_budget *vks_state_budget(void *state, uint32_t index);
struct vks_audit_ring *vks_state_audit(void *state);
/* VKS_LATENCY_MAX of them. */
struct vks_latency *vks_state_latencies(void *state);
/* Requests of a queue that were taken and not answered yet. */
uint32_t vks_state_in_flight(void *state, uint32_t queue);
/* The available index at which a worker goes on when the last one is dead: what was answered plus what is in flight. */
uint32_t vks_state_next_base(void *state, uint32_t queue);

#endif
