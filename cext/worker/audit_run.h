/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of one guest's requests. Equal allowed operations that follow one another on a queue while its lane does
 * not rest share a record with their count and the sum of their input bytes, and no record is open for longer than
 * AUDIT_RUN_NS (promise P4 allows a second). Refusals, repeated runs and requests that were set aside have one each.
 */
#ifndef VKS_WORKER_AUDIT_RUN_H
#define VKS_WORKER_AUDIT_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "audit.h"
#include "job.h"
#include "state.h"

enum { AUDIT_RUN_NS = 100000000 };

struct audit_run {
    struct vks_audit_ring *ring;
    struct audit_open {
        struct vks_audit_record record; /* as it was committed: ours, whatever stands in shared memory */
        bool open;
    } of[VKS_STATE_QUEUES_MAX];
};

/* The ring has room for so many records of their own. */
bool audit_run_has_room(const struct audit_run *run, uint32_t records);
/* Commit what *job* came to, stamped *time_ns* (CLOCK_REALTIME): in a new record, or in the open one. */
void audit_run_add(struct audit_run *run, const struct job *job, uint64_t time_ns);
/* Nothing is added to a queue's record any more: before its lane rests. */
void audit_run_close(struct audit_run *run, uint32_t queue);
/* Let keystored have everything: before anything that lanes decide by changes. */
void audit_run_close_all(struct audit_run *run);
/* The predecessor is dead: close what it left open. */
void audit_run_take_over(struct audit_run *run);

#endif
