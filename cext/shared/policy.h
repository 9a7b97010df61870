/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The decision: may this request use this key version now? Pure: no clock, no I/O, no state.
 *
 * vmm_keystore.policy.decision is the reference in Python; a property test holds the two together.
 */
#ifndef VKS_POLICY_H
#define VKS_POLICY_H

#include <stdint.h>

/* What a decision depends on, already checked for form and in host byte order. */
struct vks_policy_request {
    uint32_t op;        /* enum vks_op */
    uint32_t mechanism; /* enum vks_mechanism, never VKS_MECHANISM_DEFAULT where the operation has one */
    uint32_t flags;     /* VKS_REQUEST_F_* */
    uint32_t uid;
    uint32_t input_bytes;
    uint64_t now_s; /* UNIX time */
};

struct vks_snapshot_key;

/* Mechanisms a key type can do, bit numbers enum vks_mechanism; 0 for an unknown type. */
uint64_t vks_policy_type_mechanisms(uint32_t type);
/* Operations a mechanism takes part in, bit numbers enum vks_op; 0 for an unknown mechanism. */
uint64_t vks_policy_mechanism_ops(uint32_t mechanism);
/* The mechanism that VKS_MECHANISM_DEFAULT means for a type; VKS_MECHANISM_DEFAULT for an unknown type. */
uint32_t vks_policy_default_mechanism(uint32_t type);
/* VKS_STATUS_OK, UNSUPPORTED, DENIED or KEY_STATE, checked in this order; NO_KEY where key is NULL. */
uint32_t vks_policy_decide(const struct vks_snapshot_key *key, const struct vks_policy_request *request);

#endif
