/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The steps of an operation that a family serves: operation.c takes them one after the other, a batch puts an engine in
 * the place of the second.
 */
#ifndef VKS_OPERATION_PLAN_H
#define VKS_OPERATION_PLAN_H

#include "op_family.h"

struct vks_plan {
    const struct vks_op_family *family;
    struct vks_operation resolved; /* its mechanism is a real one; output_bytes is set by whoever carries it out */
    uint32_t needed_bytes;         /* of the output area */
};

/* All checks. With any status but OK the operation is over, and *plan* means nothing. */
uint32_t vks_operation_plan(const struct vks_key *key, struct vks_operation *operation, struct vks_plan *plan);
/* By libcrypto, or up to what a token has to do. */
uint32_t vks_operation_carry_out(struct vks_key *key, struct vks_plan *plan, enum vks_lane lane);
/* Nothing of a result on failure. */
void vks_operation_finish(struct vks_operation *operation, const struct vks_plan *plan, uint32_t status);

#endif
