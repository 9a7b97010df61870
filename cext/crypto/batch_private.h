/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What batch.c asks of each engine's use. The work is checked, and has room for its output; its keys and lengths are of
 * the class. What comes out right is marked as done; the rest is libcrypto's, whatever the reason. Lanes without work
 * compute something too, into a place that nobody looks at: then there is one path, the one of the known answers.
 */
#ifndef VKS_BATCH_PRIVATE_H
#define VKS_BATCH_PRIVATE_H

#include "batch.h"
#include "operation_plan.h"

struct vks_batch_work {
    struct vks_key *key;
    struct vks_operation *operation; /* resolved; output_bytes is set with done */
    bool done;
};

void vks_batch_ecdsa(struct vks_batch_work *work, uint32_t count, enum vks_lane lane);
void vks_batch_ed25519(struct vks_batch_work *work, uint32_t count, enum vks_lane lane);
void vks_batch_hmac(struct vks_batch_work *work, uint32_t count, enum vks_lane lane);
void vks_batch_rsa(struct vks_batch_work *work, uint32_t count, enum vks_lane lane);
void vks_batch_x25519(struct vks_batch_work *work, uint32_t count, enum vks_lane lane);

#endif
