/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A front-end may shrink the file under a region it shared; touching what is gone raises SIGBUS. The region is replaced
 * by empty private memory, so that the worker lives on, and the ring is stopped at the next look.
 */
#ifndef VKS_WORKER_GUEST_FAULT_H
#define VKS_WORKER_GUEST_FAULT_H

#include <stdbool.h>

#include "guest_mem.h"

/* Guard the regions of *mem*, whatever they will be. 0 or a negative errno. */
__attribute__((warn_unused_result)) int guest_fault_guard(const struct vks_guest_mem *mem);
/* Did a region vanish since the memory table was last replaced? */
bool guest_fault_seen(void);
/* The memory table was replaced. */
void guest_fault_forget(void);

#endif
