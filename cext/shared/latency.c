/* SPDX-License-Identifier: Apache-2.0 */
/* Finding the histogram: by a hash of key and operation, within a short window, so that a full table costs little. */
#include "latency.h"

#include <string.h>

#include "state.h"
#include "vmm_keystore.h"

enum {
    WINDOW = 32,
    US = 1000,
    MS = 1000 * US,
};

_Static_assert(sizeof(((struct vks_latency *)0)->bucket) == VKS_LATENCY_BUCKETS * sizeof(uint64_t), "bucket count");
_Static_assert((VKS_LATENCY_KEYS_MAX & (VKS_LATENCY_KEYS_MAX - 1)) == 0, "places are found by masking");

static const uint32_t bounds_ns[VKS_LATENCY_BUCKETS - 1] = {
    1 * US, 2 * US, 5 * US,  10 * US, 20 * US, 50 * US,  100 * US, 200 * US, 500 * US,  1 * MS,
    2 * MS, 5 * MS, 10 * MS, 20 * MS, 50 * MS, 100 * MS, 200 * MS, 500 * MS, 1000 * MS,
};

uint32_t vks_latency_bucket(uint64_t time_ns)
{
    uint32_t low = 0, high = VKS_LATENCY_BUCKETS - 1;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (time_ns > bounds_ns[middle])
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

uint64_t vks_latency_bound_ns(uint32_t bucket)
{
    return bucket < VKS_LATENCY_BUCKETS - 1 ? bounds_ns[bucket] : UINT64_MAX;
}

/* Key ids are the vault's own and random: no guest chooses where they meet. */
static uint32_t first_place(const uint8_t key_id[16], uint32_t op)
{
    uint64_t half[2];

    memcpy(half, key_id, sizeof(half));
    return (uint32_t)(((half[0] ^ half[1] ^ op) * UINT64_C(0x9e3779b97f4a7c15)) >> 32);
}

struct vks_latency *vks_latency_of_key(void *state, uint32_t index)
{
    return vks_state_latencies(state) + 2 * VKS_LATENCY_OPS_MAX + (index & (VKS_LATENCY_KEYS_MAX - 1));
}

static struct vks_latency *find(void *state, const uint8_t key_id[16], uint32_t op)
{
    uint32_t first = first_place(key_id, op);
    struct vks_latency *empty = NULL;

    for (uint32_t i = 0; i < WINDOW; i++) {
        struct vks_latency *latency = vks_latency_of_key(state, first + i);

        if (latency->kind != VKS_LATENCY_KEY) {
            empty = empty ? empty : latency;
            continue;
        }
        if (latency->op == op && memcmp(latency->key_id, key_id, sizeof(latency->key_id)) == 0)
            return latency;
    }
    if (!empty)
        return vks_state_latencies(state) + VKS_LATENCY_OPS_MAX + op;
    memset(empty, 0, sizeof(*empty));
    memcpy(empty->key_id, key_id, sizeof(empty->key_id));
    empty->op = op;
    __atomic_store_n(&empty->kind, VKS_LATENCY_KEY, __ATOMIC_RELEASE);
    return empty;
}

void vks_latency_count(void *state, const uint8_t *key_id, uint32_t op, uint64_t time_ns)
{
    uint32_t known = op < VKS_LATENCY_OPS_MAX ? op : 0;
    struct vks_latency *latency = key_id ? find(state, key_id, known) : vks_state_latencies(state) + known;
    uint64_t *bucket = &latency->bucket[vks_latency_bucket(time_ns)];

    __atomic_store_n(&latency->sum_ns, latency->sum_ns + time_ns, __ATOMIC_RELAXED);
    __atomic_store_n(bucket, *bucket + 1, __ATOMIC_RELEASE);
}

void vks_latency_free(struct vks_latency *latency)
{
    __atomic_store_n(&latency->kind, VKS_LATENCY_FREE, __ATOMIC_RELEASE);
}

static uint32_t has_counted(const struct vks_latency *latency)
{
    for (uint32_t i = 0; i < VKS_LATENCY_BUCKETS; i++)
        if (latency->bucket[i])
            return 1;
    return 0;
}

uint32_t vks_latency_read(void *state, struct vks_latency *latencies)
{
    uint32_t count = 0;

    for (uint32_t i = 0; i < VKS_LATENCY_MAX; i++) {
        const struct vks_latency *latency = vks_state_latencies(state) + i;
        struct vks_latency *copy = &latencies[count];

        if (i >= 2 * VKS_LATENCY_OPS_MAX && __atomic_load_n(&latency->kind, __ATOMIC_ACQUIRE) != VKS_LATENCY_KEY)
            continue;
        if (!has_counted(latency))
            continue;
        memcpy(copy, latency, sizeof(*copy));
        copy->kind = VKS_LATENCY_KEY;
        if (i < 2 * VKS_LATENCY_OPS_MAX) {
            copy->kind = i < VKS_LATENCY_OPS_MAX ? VKS_LATENCY_NONE : VKS_LATENCY_OTHER;
            copy->op = i % VKS_LATENCY_OPS_MAX;
        }
        count++;
    }
    return count;
}
