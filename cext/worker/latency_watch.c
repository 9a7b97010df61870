/* SPDX-License-Identifier: Apache-2.0 */
/* Times of requests, on their way to the histograms of latency.h. */
#include "latency_watch.h"

#include <string.h>

#include "latency.h"

enum {
    TICK_SHIFT = 20, /* ns to the ticks of vks_state_slot.taken */
};

void latency_taken(struct latency_watch *watch, struct vks_state_slot *slot, uint16_t head, uint64_t now_ns)
{
    watch->taken_ns[head] = now_ns;
    slot->taken = (uint32_t)(now_ns >> TICK_SHIFT);
}

void latency_resume(struct latency_watch *watch, const struct vks_state_slot *slots, const struct head_queue *redo,
                    uint64_t now_ns)
{
    for (uint32_t i = 0; i < redo->count; i++) {
        uint16_t head = redo->head[(redo->first + i) % VKS_STATE_QUEUE_SIZE_MAX];
        uint32_t ticks = (uint32_t)(now_ns >> TICK_SHIFT) - slots[head].taken;

        /* More than half of what there is: the clock was set back. */
        if (!slots[head].taken || ticks > UINT32_MAX / 2)
            ticks = 0;
        watch->taken_ns[head] = now_ns - ((uint64_t)ticks << TICK_SHIFT);
    }
}

void latency_answered(struct latency_watch *watch, uint16_t head, const uint8_t *key_id, uint32_t op, uint64_t now_ns)
{
    uint64_t taken_ns = watch->taken_ns[head];

    vks_latency_count(watch->state, key_id, op, now_ns > taken_ns ? now_ns - taken_ns : 0);
}

void latency_forget_keys(struct latency_watch *watch, const struct snapshot_table *table)
{
    for (uint32_t i = 0; i < VKS_LATENCY_KEYS_MAX; i++) {
        struct vks_latency *latency = vks_latency_of_key(watch->state, i);
        uint32_t next;

        if (latency->kind != VKS_LATENCY_KEY)
            continue;
        next = snapshot_table_after(table, latency->key_id, 0);
        if (next >= table->head.key_count ||
            memcmp(table->entry[next].key_id, latency->key_id, sizeof(latency->key_id)) != 0)
            vks_latency_free(latency);
    }
}
