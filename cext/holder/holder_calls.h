/* SPDX-License-Identifier: Apache-2.0 */
/* The system calls of the holder once it is set up. */
#ifndef VKS_HOLDER_CALLS_H
#define VKS_HOLDER_CALLS_H

#include "syscall_filter.h"

extern struct vks_syscall_filter holder_calls;

__attribute__((warn_unused_result)) int holder_calls_build(void);

#endif
