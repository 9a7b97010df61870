/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When each head was taken, and how long it took until it was answered. Fast lane only.
 *
 * It reads no clock for a request: times are the fast lane's own CLOCK_REALTIME in ns, of which one reading an answer
 * is there anyway. A clock that is set shows in the requests that are under way then, and in no other.
 */
#ifndef VKS_WORKER_LATENCY_WATCH_H
#define VKS_WORKER_LATENCY_WATCH_H

#include <stdint.h>

#include "head_queue.h"
#include "snapshot_table.h"
#include "state.h"

struct latency_watch {
    void *state;
    uint64_t taken_ns[VKS_STATE_QUEUE_SIZE_MAX];
};

/* *head* is about to be marked in flight; *slot* is its own. */
void latency_taken(struct latency_watch *watch, struct vks_state_slot *slot, uint16_t head, uint64_t now_ns);
/* A ring goes on: when its requests in flight were taken is in their slots, to about a millisecond. */
void latency_resume(struct latency_watch *watch, const struct vks_state_slot *slots, const struct head_queue *redo,
                    uint64_t now_ns);
/* The used index that covers *head* is published; *key_id* is NULL where the guest has no such key. */
void latency_answered(struct latency_watch *watch, uint16_t head, const uint8_t *key_id, uint32_t op, uint64_t now_ns);
/* Give back the histograms of keys that *table* does not have. Only the worker that has the ring. */
void latency_forget_keys(struct latency_watch *watch, const struct snapshot_table *table);

#endif
