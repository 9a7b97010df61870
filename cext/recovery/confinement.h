/* SPDX-License-Identifier: Apache-2.0 */
/* How vks-recovery shuts itself in: its descriptors and nothing else. */
#ifndef VKS_RECOVERY_CONFINEMENT_H
#define VKS_RECOVERY_CONFINEMENT_H

/* For good, before the first byte is read. 0 or a negative errno. */
__attribute__((warn_unused_result)) int vks_recovery_confine(void);

#endif
