/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What stands in a KEK file for a token: where to ask, and for what.
 *
 *   blob   version, 1 byte | the token's serial number, 16 bytes | the key's CKA_ID, 16 bytes | 32 random bytes
 */
#ifndef VKS_HSM_BLOB_H
#define VKS_HSM_BLOB_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"

enum vks_hsm_blob_limit {
    VKS_HSM_BLOB_VERSION = 1,
    VKS_HSM_BLOB_SERIAL_BYTES = 16,
    VKS_HSM_BLOB_ID_BYTES = 16,
    VKS_HSM_BLOB_RANDOM_BYTES = 32,
};

struct vks_hsm_blob {
    uint8_t serial[VKS_HSM_BLOB_SERIAL_BYTES];
    uint8_t id[VKS_HSM_BLOB_ID_BYTES];
    uint8_t random[VKS_HSM_BLOB_RANDOM_BYTES];
};

void vks_hsm_blob_write(const struct vks_hsm_blob *blob, uint8_t bytes[VKS_ROOT_HSM_BLOB_BYTES]);
/* 0, or -EINVAL: not of this version, or not whole. */
__attribute__((warn_unused_result)) int vks_hsm_blob_parse(const uint8_t *bytes, size_t size_bytes,
                                                           struct vks_hsm_blob *blob);

#endif
