/* SPDX-License-Identifier: Apache-2.0 */
/* Vector registers outlive the function that used them: a sleeping thread still has what it copied or computed last. */
#ifndef VKS_REGISTERS_H
#define VKS_REGISTERS_H

/*
 * Zero every vector register that this processor has; called by a thread that held secrets, before it sleeps. A few
 * nanoseconds. Does nothing on processors other than x86-64.
 */
void vks_registers_wipe(void);

#endif
