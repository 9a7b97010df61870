/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a decoded request to its key and lane, or a refusal; and the operations that need no key: info and list.
 *
 * Knows the snapshot and the decision; must not know guest memory.
 */
#ifndef VKS_WORKER_DECIDE_H
#define VKS_WORKER_DECIDE_H

#include <stdbool.h>
#include <stdint.h>

#include "job.h"
#include "snapshot_table.h"

/*
 * The decision about job->request, which was decoded: status, and key, version and mechanism where there is one. Once
 * the payload is in job->input, job_run or device_answer may follow. *entry* is what the table says of the key, NULL
 * where none was asked for or found.
 */
uint32_t decide(struct job *job, const struct snapshot_table *table, uint64_t now_s,
                const struct vks_snapshot_key **entry);
/* May the result of one that was decided under an earlier snapshot go out under *table*? OK, or why not. */
uint32_t decide_release(const struct job *job, const struct snapshot_table *table, uint64_t now_s);
/* Whether a token has to sign for a decided request. */
bool decide_needs_token(const struct job *job);
/* Is a request that may run one for the slow lane? */
bool decide_is_slow(const struct job *job);
/* And does it need large buffers there? */
bool decide_is_large(const struct job *job);

/* Info, list: answered from the snapshot. *driver_features* is set by an info that succeeded. */
bool device_answers(uint32_t op);
uint32_t device_answer(struct job *job, const struct snapshot_table *table, uint64_t *driver_features);

#endif
