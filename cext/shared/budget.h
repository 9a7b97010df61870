/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Budgets of grants in state memory: how many operations have begun, exact whoever is killed when.
 *
 * A host that crashes takes state memory along: so operations are on disk as used in blocks, before the first one of
 * a block begins (struct vks_state_budget.leased). keystored allots an index for as long as a snapshot in force names
 * it; the worker charges, on one thread.
 */
#ifndef VKS_BUDGET_H
#define VKS_BUDGET_H

#include <stdint.h>

#include "state.h"

struct vks_snapshot_key;

/* Outcomes of vks_budget_charge. */
enum vks_budget_outcome {
    VKS_BUDGET_CHARGED = 0,
    VKS_BUDGET_REFUSED = 1, /* used up, or too fast */
    VKS_BUDGET_WAITS = 2,   /* the lease is used up: keystored must give more first */
    VKS_BUDGET_FOREIGN = 3, /* the index is not this grant's: state memory is damaged */
};

/*
 * Charge one operation of the request in slot *head* of *queue* under *key*, whose budget is not 0. A request that was
 * charged before is not charged again. *now_ns* is CLOCK_MONOTONIC. *low* becomes 1 when keystored is to be asked for
 * more, and is left alone else.
 */
uint32_t vks_budget_charge(void *state, uint32_t queue, uint16_t head, const struct vks_snapshot_key *key,
                           uint64_t now_ns, uint32_t *low);
/* Finish the charge that a dead worker left half done; before slots are looked at, with no worker that charges. */
void vks_budget_recover(void *state);

/* keystored: give *index* to the budget *id*, which has used so much; nothing is leased yet. */
void vks_budget_open(void *state, uint32_t index, uint64_t id, uint64_t used);
/* keystored: operations up to *leased* are on disk; at *low* it wants to hear. */
void vks_budget_lease(void *state, uint32_t index, uint64_t leased, uint64_t low);
/* Operations that have begun, a charge under way included. */
uint64_t vks_budget_used(void *state, uint32_t index);

#endif
