/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Nothing to see: no path can be opened and no network be reached any more. By Landlock where the kernel has it, else
 * by namespaces of the process's own with an empty root. Descriptors that are open stay usable.
 */
#ifndef VKS_HIDDEN_VIEW_H
#define VKS_HIDDEN_VIEW_H

#include <stdint.h>

#include "ipc.h"

struct vks_hidden_view {
    enum vks_sandbox_view kind;
    uint32_t landlock_abi; /* 0 unless Landlock */
};

/*
 * Single-threaded at this point, no_new_privs set. What there is is in *view*, VKS_SANDBOX_VIEW_OPEN if the kernel
 * refuses both: the system-call filter then stands alone. Again, as a child does that was forked from a process which
 * is hidden already, adds one more layer of Landlock or leaves the namespaces as they are.
 */
void vks_hidden_view_enter(struct vks_hidden_view *view);

#endif
