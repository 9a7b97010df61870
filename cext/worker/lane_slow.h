/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The slow lane: one thread, a few jobs, in the order of submission; those of one batch class that wait are run
 * together. Few have buffers for whatever there is; more have small ones, so that an engine's lanes are full.
 *
 * The thread touches the private buffers and the key of a job while it is RUNNING, nothing else; in every other state
 * the job is the fast lane's. It never sees guest memory.
 *
 *   FREE -> QUEUED -> RUNNING -> DONE -> FREE
 *             `--> FREE (cancelled)
 */
#ifndef VKS_WORKER_LANE_SLOW_H
#define VKS_WORKER_LANE_SLOW_H

#include <stdatomic.h>
#include <stdint.h>

#include "batch.h"
#include "job.h"
#include "secret_stack.h"

enum slow_limit {
    SLOW_LARGE_JOBS = 2,
    SLOW_JOBS = SLOW_LARGE_JOBS + 2 * VKS_BATCH_LANES,
};

enum slow_size {
    SLOW_SMALL,
    SLOW_LARGE,
    SLOW_SIZES,
};

enum slow_state {
    SLOW_FREE,
    SLOW_QUEUED,
    SLOW_RUNNING,
    SLOW_DONE,
};

struct slow_lane {
    struct job job[SLOW_JOBS]; /* large ones first */
    _Atomic int state[SLOW_JOBS];
    _Atomic uint32_t ticket[SLOW_JOBS];      /* order of submission */
    _Atomic uint32_t batch_class[SLOW_JOBS]; /* the job's, for a look at it while it is not the thread's */
    uint32_t next_ticket;
    uint32_t submitted; /* jobs that are not FREE; the fast lane's */
    int wake_fd;        /* eventfd: something was queued */
    int done_fd;        /* eventfd: something is done */
    enum vks_lane lane; /* as keys know it */
    struct vks_secret_thread thread;
};

/* Descriptors, thread. 0 or a negative errno. */
__attribute__((warn_unused_result)) int slow_lane_start(struct slow_lane *lane, enum vks_lane as);
/* A job of this size to fill in, or NULL. */
struct job *slow_lane_free_job(struct slow_lane *lane, enum slow_size size);
enum slow_size slow_lane_size(const struct slow_lane *lane, const struct job *job);
/* Its key is referenced by the lane from here on. */
void slow_lane_submit(struct slow_lane *lane, struct job *job);
/* Take back the job submitted last of those that have not begun; NULL when there is none. */
struct job *slow_lane_cancel(struct slow_lane *lane);
/* The job that has been done longest and not been given back, or NULL. No done job keeps its key. */
struct job *slow_lane_done(struct slow_lane *lane);
/* Give a done job back. */
void slow_lane_release(struct slow_lane *lane, struct job *job);
uint32_t slow_lane_count(const struct slow_lane *lane, enum slow_state state);
/* Empty the done descriptor. */
void slow_lane_acknowledge(const struct slow_lane *lane);

#endif
