/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Several operations of one kind in one go, where an engine computes them side by side.
 *
 * Each comes out as vks_operation_run would have it: status, output, output_bytes, and nothing of one in another. They
 * may be of different keys. What an engine fails in, or gives a wrong result for, libcrypto computes.
 */
#ifndef VKS_CRYPTO_BATCH_H
#define VKS_CRYPTO_BATCH_H

#include "operation.h"

enum vks_batch_limit {
    VKS_BATCH_LANES = 8,
    VKS_BATCH_INPUT_BYTES_MAX = 4096,
    VKS_BATCH_OUTPUT_BYTES_MAX = 512,
};

struct vks_batch_item {
    struct vks_key *key;
    struct vks_operation operation;
    uint32_t status; /* out */
};

/*
 * Operations of the same class may be one batch; 0: it is run by itself. Of a decided request: *mechanism* is never
 * VKS_MECHANISM_DEFAULT where the operation has one; *payload_bytes* are parameter, associated data and input together.
 */
uint32_t vks_batch_class(const struct vks_key *key, uint32_t op, uint32_t mechanism, uint32_t payload_bytes);
/* Run 1 to VKS_BATCH_LANES operations of one class, none 0. With too few for the engine to win, one after the other. */
void vks_batch_run(struct vks_batch_item *items, uint32_t count, enum vks_lane lane);

#endif
