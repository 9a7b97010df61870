/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The records of one guest's requests in their order. Equal allowed operations that follow one another while the worker
 * does not rest share a record with their count and the sum of their input bytes, and no record is open for longer than
 * AUDIT_RUN_NS (promise P4 allows a second). Refusals, repeated runs and requests that were set aside have one each.
 */
#ifndef VKS_WORKER_AUDIT_RUN_H
#define VKS_WORKER_AUDIT_RUN_H

#include <stdbool.h>
#include <stdint.h>

#include "audit.h"
#include "job.h"

enum { AUDIT_RUN_NS = 100000000 };

struct audit_run {
    struct vks_audit_ring *ring;
    struct vks_audit_record record; /* the newest one as it was committed: ours, whatever stands in shared memory */
    bool open;
};

/* The ring has room for so many records of their own. */
bool audit_run_has_room(const struct audit_run *run, uint32_t records);
/* Commit what *job* came to, stamped *time_ns* (CLOCK_REALTIME): in a new record, or in the open one. */
void audit_run_add(struct audit_run *run, const struct job *job, uint64_t time_ns);
/* Let keystored have everything. Before the worker rests, and before anything that it decides by changes. */
void audit_run_close(struct audit_run *run);
/* The predecessor is dead: close what it left open. */
void audit_run_take_over(struct audit_run *run);

#endif
