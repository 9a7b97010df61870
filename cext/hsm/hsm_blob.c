/* SPDX-License-Identifier: Apache-2.0 */
#include "hsm_blob.h"

#include <errno.h>
#include <string.h>

/* All bytes, so that there is no padding between them. */
_Static_assert(1 + sizeof(struct vks_hsm_blob) == VKS_ROOT_HSM_BLOB_BYTES, "the version, and the structure as it is");

void vks_hsm_blob_write(const struct vks_hsm_blob *blob, uint8_t bytes[VKS_ROOT_HSM_BLOB_BYTES])
{
    bytes[0] = VKS_HSM_BLOB_VERSION;
    memcpy(bytes + 1, blob, sizeof(*blob));
}

int vks_hsm_blob_parse(const uint8_t *bytes, size_t size_bytes, struct vks_hsm_blob *blob)
{
    if (size_bytes != VKS_ROOT_HSM_BLOB_BYTES || bytes[0] != VKS_HSM_BLOB_VERSION)
        return -EINVAL;
    memcpy(blob, bytes + 1, sizeof(*blob));
    return 0;
}
