/* SPDX-License-Identifier: Apache-2.0 */
/* How the custodian shuts itself in. Knows the system calls it makes; must not know what it makes them for. */
#ifndef VKS_CUSTODIAN_CONFINEMENT_H
#define VKS_CUSTODIAN_CONFINEMENT_H

#include "ipc.h"

/* *keeper*: keystored's user. Before any thread or key; then, with the stack in place, for good. 0 or a negative errno.
 */
__attribute__((warn_unused_result)) int vks_confinement_begin(uint32_t keeper);
__attribute__((warn_unused_result)) int vks_confinement_seal(void);

/* Who must own the root of trust, as stat shows it: keystored's user. */
uint32_t vks_confinement_owner(void);
const struct vks_sandbox_report *vks_confinement_report(void);

#endif
