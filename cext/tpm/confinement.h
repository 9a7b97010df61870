/* SPDX-License-Identifier: Apache-2.0 */
/* How vks-tpm shuts itself in: its descriptors and nothing else. */
#ifndef VKS_TPM_CONFINEMENT_H
#define VKS_TPM_CONFINEMENT_H

/* For good; before the first byte of the TPM is read. 0 or a negative errno. */
__attribute__((warn_unused_result)) int vks_tpm_confine(void);

#endif
