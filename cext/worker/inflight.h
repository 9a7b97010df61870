/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The in-flight table in state memory: which heads were taken and not yet answered, in which order, how often run.
 *
 * Order of writes for one request (DESIGN 3): inflight_take, record, result bytes, inflight_answer around the used
 * element. Every used.idx that is published covers one element, so a worker that dies leaves at most one request
 * between "published" and "written down"; inflight_start repairs it. Knows state.h and indices; must not know requests.
 */
#ifndef VKS_WORKER_INFLIGHT_H
#define VKS_WORKER_INFLIGHT_H

#include <stdbool.h>
#include <stdint.h>

#include "head_queue.h"
#include "state.h"
#include "vring.h"

struct inflight {
    struct vks_state_head *state;
    uint32_t index; /* of the queue */
    bool started;   /* by this process */
    struct vks_state_queue *queue;
    struct vks_state_slot *slot; /* one per descriptor head */
};

enum inflight_feature {
    /* In vks_state_queue.features: info has told what the driver negotiated since the ring was reset. */
    INFLIGHT_F_TOLD = 63,
};

/* The tables of *queue* in a state memory that vks_state_check accepted. */
void inflight_open(struct inflight *inflight, void *state, uint32_t queue);
/* What the front-end said: where, and which of its starts this is. */
struct inflight_start {
    uint64_t id; /* 0: unknown */
    uint16_t base;
};
/*
 * A ring starts. When the table belongs to this start already, or left off at its base, the requests in flight are put
 * into *redo* in the order in which they were taken, and true is returned; else the ring was reset, the table is
 * cleared. Sets the ring's indices either way.
 */
bool inflight_start(struct inflight *inflight, struct vks_vring *ring, const struct inflight_start *start,
                    struct head_queue *redo);
bool inflight_is_taken(const struct inflight *inflight, uint16_t head);
/* Before the available index moves past *head*. Numbers the request. */
void inflight_take(struct inflight *inflight, uint16_t head);
/* From here on a death is this request's; gives the byte that says so, for a lane that begins later. */
uint8_t *inflight_execute(struct inflight *inflight, uint16_t head);
/* Whether a run of it has begun before. */
bool inflight_has_run(const struct inflight *inflight, uint16_t head);
/* It waits after all. */
void inflight_postpone(struct inflight *inflight, uint16_t head);
/* How many workers died while they executed it. */
uint32_t inflight_deaths(const struct inflight *inflight, uint16_t head);
/* A run begins; gives the request's slot with the number of this attempt. */
const struct vks_state_slot *inflight_run(struct inflight *inflight, uint16_t head);
/* The run that was counted last did not begin after all. */
void inflight_cancel_run(struct inflight *inflight, uint16_t head);
/* Publish the used element of *head*. The result is written, its record committed. */
void inflight_answer(struct inflight *inflight, struct vks_vring *ring, uint16_t head, uint32_t used_bytes);

#endif
