/* SPDX-License-Identifier: Apache-2.0 */
/* Charging: first a written intention, so that a kill between two stores neither loses nor doubles an operation. */
#include "budget.h"

#include "policy.h"
#include "snapshot.h"
#include "vmm_keystore.h"

static void apply(void *state, const struct vks_state_charge *charge)
{
    struct vks_state_budget *budget = vks_state_budget(state, charge->budget - 1);

    __atomic_store_n(&budget->used, charge->used, __ATOMIC_RELEASE);
    __atomic_store_n(&budget->next_ns, charge->next_ns, __ATOMIC_RELEASE);
    __atomic_store_n(&vks_state_slots(state, charge->queue)[charge->head].charged, 1, __ATOMIC_RELEASE);
}

uint32_t vks_budget_charge(void *state, uint32_t queue, uint16_t head, const struct vks_snapshot_key *key,
                           uint64_t now_ns, uint32_t *low)
{
    struct vks_state_charge *charge = vks_state_charge(state);
    struct vks_state_budget *budget = vks_state_budget(state, key->budget - 1);
    struct vks_policy_usage usage = {budget->used, budget->next_ns, now_ns};

    if (vks_state_slots(state, queue)[head].charged)
        return VKS_BUDGET_CHARGED;
    if (__atomic_load_n(&budget->id, __ATOMIC_ACQUIRE) != key->budget_id)
        return VKS_BUDGET_FOREIGN;
    if (vks_policy_charge(key, &usage) != VKS_STATUS_OK)
        return VKS_BUDGET_REFUSED;
    if (key->ops_max && budget->used >= __atomic_load_n(&budget->leased, __ATOMIC_ACQUIRE)) {
        *low = 1;
        return VKS_BUDGET_WAITS;
    }
    charge->queue = (uint16_t)queue;
    charge->head = head;
    charge->used = usage.used;
    charge->next_ns = usage.next_ns;
    __atomic_store_n(&charge->budget, key->budget, __ATOMIC_RELEASE);
    apply(state, charge);
    __atomic_store_n(&charge->budget, 0, __ATOMIC_RELEASE);
    if (key->ops_max && usage.used == __atomic_load_n(&budget->low, __ATOMIC_RELAXED))
        *low = 1;
    return VKS_BUDGET_CHARGED;
}

void vks_budget_recover(void *state)
{
    /* One copy: what is checked is what is used. */
    struct vks_state_charge charge = *vks_state_charge(state);

    if (charge.budget && charge.budget <= VKS_STATE_BUDGETS_MAX && charge.head < VKS_STATE_QUEUE_SIZE_MAX &&
        charge.queue < VKS_STATE_QUEUES_MAX)
        apply(state, &charge);
    __atomic_store_n(&vks_state_charge(state)->budget, 0, __ATOMIC_RELEASE);
}

void vks_budget_open(void *state, uint32_t index, uint64_t id, uint64_t used)
{
    struct vks_state_budget *budget = vks_state_budget(state, index);

    __atomic_store_n(&budget->id, 0, __ATOMIC_RELEASE);
    budget->leased = budget->low = budget->next_ns = 0;
    budget->used = used;
    __atomic_store_n(&budget->id, id, __ATOMIC_RELEASE);
}

void vks_budget_lease(void *state, uint32_t index, uint64_t leased, uint64_t low)
{
    struct vks_state_budget *budget = vks_state_budget(state, index);

    __atomic_store_n(&budget->low, low, __ATOMIC_RELEASE);
    __atomic_store_n(&budget->leased, leased, __ATOMIC_RELEASE);
}

uint64_t vks_budget_used(void *state, uint32_t index)
{
    const struct vks_state_charge *charge = vks_state_charge(state);
    uint64_t used = __atomic_load_n(&vks_state_budget(state, index)->used, __ATOMIC_ACQUIRE);

    if (__atomic_load_n(&charge->budget, __ATOMIC_ACQUIRE) == index + 1 && charge->used > used)
        return charge->used;
    return used;
}
