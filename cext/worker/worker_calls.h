/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of a worker that serves. The spawner builds the filter, each worker loads it. */
#ifndef VKS_WORKER_CALLS_H
#define VKS_WORKER_CALLS_H

#include "syscall_filter.h"

extern struct vks_syscall_filter worker_calls;

__attribute__((warn_unused_result)) int worker_calls_build(void);

#endif
