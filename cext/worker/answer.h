/* SPDX-License-Identifier: Apache-2.0 */
/* The bytes that a request leaves in guest memory; its audit record (audit_run.h) is committed by then. */
#ifndef VKS_WORKER_ANSWER_H
#define VKS_WORKER_ANSWER_H

#include <stdint.h>

#include "job.h"

/* Write output, result and status of a committed request; the used length. */
__attribute__((warn_unused_result)) uint32_t answer_write(const struct job *job);
/* The same for a chain that could not be walked: a status at most. */
__attribute__((warn_unused_result)) uint32_t answer_broken(const struct vks_desc_chain *chain);

#endif
