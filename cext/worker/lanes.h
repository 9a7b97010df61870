/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several lanes in one worker: the lock over everything, and how a lane gives it up. Nothing happens here where there
 * is one lane.
 */
#ifndef VKS_WORKER_LANES_H
#define VKS_WORKER_LANES_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"

struct lane;
struct worker;

/* Lock and condition; *worker* has its lanes' number. */
void lanes_open(struct worker *worker);
void lanes_lock(struct worker *worker);
void lanes_unlock(struct worker *worker);
/*
 * Around the operation of decided jobs: others go on meanwhile, and may change tables, rings and guest memory. The
 * jobs' keys stay; a snapshot that takes one away is acknowledged when it has been let go.
 */
void lanes_begin_compute(struct lane *lane, struct job *const jobs[], uint32_t count);
void lanes_end_compute(struct lane *lane);
/* Whether a lane computes with a key that its table does not have any more. */
bool lanes_use_lost_key(const struct worker *worker);
/* Around a look at the ring that takes a while. The first is false when no lane may look now. */
bool lanes_begin_look(struct lane *lane);
bool lanes_may_look(const struct lane *lane);
void lanes_end_look(struct lane *lane);
/* Have no lane look, until the lock is given up: its ring may go. */
void lanes_rest(struct worker *worker);
/* Whether a ring runs. */
bool lanes_run(const struct worker *worker);
/* Something has changed for a lane that may sleep. */
void lanes_wake(const struct lane *lane);
void lanes_wake_all(const struct worker *worker);

#endif
