/* SPDX-License-Identifier: Apache-2.0 */
/* The two things that leave a request behind, in this order: its audit record, then its bytes in guest memory. */
#ifndef VKS_WORKER_ANSWER_H
#define VKS_WORKER_ANSWER_H

#include <stdint.h>

#include "audit.h"
#include "job.h"

/* Commit the record of *job*, stamped *time_ns* (CLOCK_REALTIME); the ring has room. */
void answer_record(struct vks_audit_ring *ring, const struct job *job, uint64_t time_ns);
/* Write output, result and status of a committed request; the used length. */
__attribute__((warn_unused_result)) uint32_t answer_write(const struct job *job);
/* The same for a chain that could not be walked: a status at most. */
__attribute__((warn_unused_result)) uint32_t answer_broken(const struct vks_desc_chain *chain);

#endif
