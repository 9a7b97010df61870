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

/* What a grant's budget has seen so far. */
struct vks_policy_usage {
    uint64_t used;    /* operations */
    uint64_t next_ns; /* when one more would be right on time at the grant's rate; 0: none came yet */
    uint64_t now_ns;  /* the same clock, which never goes back */
};

struct vks_snapshot_key;

/* Mechanisms a key type can do, bit numbers enum vks_mechanism; 0 for an unknown type. */
uint64_t vks_policy_type_mechanisms(uint32_t type);
/* Operations a mechanism takes part in, bit numbers enum vks_op; 0 for an unknown mechanism. */
uint64_t vks_policy_mechanism_ops(uint32_t mechanism);
/* Whether *op*, of a key, is done by a mechanism: not public, and not what keystored does. */
int vks_policy_has_mechanism(uint32_t op);
/* The mechanism that VKS_MECHANISM_DEFAULT means for type and operation; VKS_MECHANISM_DEFAULT for an unknown type. */
uint32_t vks_policy_default_mechanism(uint32_t type, uint32_t op);
/*
 * May an operation that vks_policy_decide allows begin within the grant's budget? OK: *usage* counts it. LIMIT: used
 * up, or more than a second's worth ahead of the rate; *usage* is as before.
 */
uint32_t vks_policy_charge(const struct vks_snapshot_key *key, struct vks_policy_usage *usage);
/* VKS_STATUS_OK, UNSUPPORTED, DENIED or KEY_STATE, checked in this order; NO_KEY where key is NULL. */
uint32_t vks_policy_decide(const struct vks_snapshot_key *key, const struct vks_policy_request *request);

#endif
