/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The worker's stopwatch: when each head was taken, and how long it took until it was answered. Fast lane only.
 *
 * The clock is read once for each answer: the end of one request is the beginning of the next one in the batch.
 */
#ifndef VKS_WORKER_LATENCY_WATCH_H
#define VKS_WORKER_LATENCY_WATCH_H

#include <stdint.h>

#include "head_queue.h"
#include "snapshot_table.h"
#include "state.h"

struct latency_watch {
    void *state;
    uint64_t now_ns; /* CLOCK_MONOTONIC when it was read last */
    uint64_t taken_ns[VKS_STATE_QUEUE_SIZE_MAX];
};

/* Read the clock: a batch begins, or something took long that was not an answer. */
void latency_look(struct latency_watch *watch);
/* *head* is about to be marked in flight; *slot* is its own. */
void latency_taken(struct latency_watch *watch, struct vks_state_slot *slot, uint16_t head);
/* A ring goes on: when its requests in flight were taken is in their slots, to about a millisecond. */
void latency_resume(struct latency_watch *watch, const struct vks_state_slot *slots, const struct head_queue *redo);
/* The used index that covers *head* is published; *key_id* is NULL where the guest has no such key. */
void latency_answered(struct latency_watch *watch, uint16_t head, const uint8_t *key_id, uint32_t op);
/* Give back the histograms of keys that *table* does not have. Only the worker that has the ring. */
void latency_forget_keys(struct latency_watch *watch, const struct snapshot_table *table);

#endif
