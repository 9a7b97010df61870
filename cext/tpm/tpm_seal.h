/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A secret that only this TPM gives back: a sealed data object below the storage key of the owner hierarchy (TCG TPM
 * v2.0 Provisioning Guidance, 7.5.1, ECC P-256), bound to no PCR, so that a new kernel opens it too. Between us and the
 * TPM it travels encrypted (parameter encryption in a salted session, AES-128-CFB).
 *
 *   blob   TPM2B_PUBLIC | TPM2B_PRIVATE, as the TPM marshals them
 */
#ifndef VKS_TPM_SEAL_H
#define VKS_TPM_SEAL_H

#include <stddef.h>
#include <stdint.h>

enum vks_tpm_limit {
    VKS_TPM_SECRET_BYTES = 32,
    VKS_TPM_BLOB_BYTES_MAX = 2048,
};

/* Make a secret and seal it: 0, or the TSS2_RC that says why not. */
__attribute__((warn_unused_result)) uint32_t vks_tpm_seal(int fd, uint8_t secret[VKS_TPM_SECRET_BYTES],
                                                          uint8_t blob[VKS_TPM_BLOB_BYTES_MAX], size_t *blob_bytes);
/* 0, or the TSS2_RC that says why not. */
__attribute__((warn_unused_result)) uint32_t vks_tpm_unseal(int fd, const uint8_t *blob, size_t blob_bytes,
                                                            uint8_t secret[VKS_TPM_SECRET_BYTES]);

#endif
