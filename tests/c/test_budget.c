/* SPDX-License-Identifier: Apache-2.0 */
/* Charging, and what a successor makes of a charge that was cut off after any of its stores. */
#include "budget.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "snapshot.h"

enum {
    HEAD = 7,
    INDEX = VKS_STATE_BUDGETS_MAX - 1,
    ID = 42,
    NOW_NS = 1000000,
};

static void *fresh_state(void)
{
    void *state = calloc(1, vks_state_bytes());

    CHECK("memory", state != NULL);
    vks_state_init(state);
    vks_budget_open(state, INDEX, ID, 10);
    vks_budget_lease(state, INDEX, 20, 15);
    return state;
}

static struct vks_snapshot_key bounded_key(void)
{
    return (struct vks_snapshot_key){.ops_max = 30, .budget = INDEX + 1, .budget_id = ID};
}

/* The first *writes* of a charge's stores have reached memory. */
static void cut_charge(void *state, int writes)
{
    struct vks_state_charge *charge = vks_state_charge(state);
    struct vks_state_budget *budget = vks_state_budget(state, INDEX);

    charge->head = HEAD;
    charge->used = 11;
    charge->next_ns = 99;
    if (writes > 0)
        charge->budget = INDEX + 1;
    if (writes > 1)
        budget->used = 11;
    if (writes > 2)
        budget->next_ns = 99;
    if (writes > 3)
        vks_state_slots(state, 0)[HEAD].charged = 1;
}

static void check_recovery(int writes)
{
    void *state = fresh_state();
    struct vks_snapshot_key key = bounded_key();
    uint64_t used = writes ? 11 : 10;
    uint32_t low = 0;

    cut_charge(state, writes);
    CHECK_EQUAL("what keystored sees", vks_budget_used(state, INDEX), used);
    vks_budget_recover(state);
    vks_budget_recover(state);
    CHECK_EQUAL("used", vks_budget_used(state, INDEX), used);
    CHECK_EQUAL("next", vks_state_budget(state, INDEX)->next_ns, writes ? 99 : 0);
    CHECK_EQUAL("under way", vks_state_charge(state)->budget, 0);
    CHECK_EQUAL("again", vks_budget_charge(state, 0, HEAD, &key, NOW_NS, &low), VKS_BUDGET_CHARGED);
    CHECK_EQUAL("counted once", vks_budget_used(state, INDEX), 11);
    free(state);
}

static void check_charges(void)
{
    void *state = fresh_state();
    struct vks_snapshot_key key = bounded_key();
    uint32_t low = 0;

    for (uint16_t head = 0; head < 10; head++) {
        CHECK_EQUAL("within the lease", vks_budget_charge(state, 0, head, &key, NOW_NS, &low), VKS_BUDGET_CHARGED);
        CHECK_EQUAL("asks at the mark, once", low, head == 4);
        low = 0;
    }
    CHECK_EQUAL("lease used up", vks_budget_charge(state, 0, 10, &key, NOW_NS, &low), VKS_BUDGET_WAITS);
    CHECK_EQUAL("asks", low, 1);
    CHECK_EQUAL("not counted", vks_budget_used(state, INDEX), 20);
    CHECK_EQUAL("nor marked", vks_state_slots(state, 0)[10].charged, 0);
    vks_budget_lease(state, INDEX, 30, 0);
    for (uint16_t head = 10; head < 20; head++)
        CHECK_EQUAL("more", vks_budget_charge(state, 0, head, &key, NOW_NS, &low), VKS_BUDGET_CHARGED);
    vks_budget_lease(state, INDEX, 1000, 0);
    CHECK_EQUAL("used up", vks_budget_charge(state, 0, 20, &key, NOW_NS, &low), VKS_BUDGET_REFUSED);
    key.budget_id = ID + 1;
    CHECK_EQUAL("another grant's", vks_budget_charge(state, 0, 21, &key, NOW_NS, &low), VKS_BUDGET_FOREIGN);
    CHECK_EQUAL("left alone", vks_budget_used(state, INDEX), 30);
    free(state);
}

/* Whoever scribbles into state memory is not followed out of it. */
static void check_damage(void)
{
    void *state = fresh_state();
    struct vks_state_charge *charge = vks_state_charge(state);

    *charge = (struct vks_state_charge){.budget = VKS_STATE_BUDGETS_MAX + 1, .used = 1};
    vks_budget_recover(state);
    *charge = (struct vks_state_charge){.budget = 1, .head = VKS_STATE_QUEUE_SIZE_MAX, .used = 1};
    vks_budget_recover(state);
    CHECK_EQUAL("forgotten", charge->budget, 0);
    CHECK_EQUAL("first budget", vks_budget_used(state, 0), 0);
    free(state);
}

int main(void)
{
    for (int writes = 0; writes <= 4; writes++)
        check_recovery(writes);
    check_charges();
    check_damage();
    return 0;
}
