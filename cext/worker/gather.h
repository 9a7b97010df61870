/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests of the fast lane that an engine computes side by side: gathered while the ring has more, run when a group is
 * full or the ring has been looked through. None waits for one that has not come.
 *
 * They were decided and copied; their run begins with their group's.
 */
#ifndef VKS_WORKER_GATHER_H
#define VKS_WORKER_GATHER_H

#include <stdint.h>

#include "batch.h"
#include "job.h"

enum gather_limit {
    GATHER_JOBS = 2 * VKS_BATCH_LANES, /* so that kinds that take turns still fill a group */
    GATHER_BYTES = VKS_BATCH_INPUT_BYTES_MAX + VKS_BATCH_OUTPUT_BYTES_MAX + 64,
};

struct gather {
    struct job job[GATHER_JOBS];
    uint32_t batch_class[GATHER_JOBS]; /* 0: free */
    bool runs[GATHER_JOBS];
    uint32_t count;
    bool used; /* since gather_rest */
};

/* Take over a decided request with a batch class and JOB_FEW_SEGMENTS at most; there is a free place. Its payload is
 * not copied yet. */
struct job *gather_add(struct gather *gather, const struct job *job);
/* Whether that one filled its group, or the last place. */
bool gather_is_full(const struct gather *gather, uint32_t batch_class);
/*
 * Up to VKS_BATCH_LANES jobs of one class, which is *batch_class* unless that is 0: into *group*; how many. They are
 * free again when gather_release has had them.
 */
uint32_t gather_group(struct gather *gather, uint32_t batch_class, struct job *group[VKS_BATCH_LANES]);
void gather_release(struct gather *gather, struct job *job);
/* One that is in no group that runs; it is to be released. NULL: there is none. */
struct job *gather_waiting(struct gather *gather);
/* Before the worker sleeps: see job_rest. */
void gather_rest(struct gather *gather);

#endif
