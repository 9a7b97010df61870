/* SPDX-License-Identifier: Apache-2.0 */
/* Which bucket a time is counted in, and whose histogram: of a key, of none, or of all for which there is no room. */
#include "latency.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "state.h"
#include "vmm_keystore.h"

enum {
    US = 1000,
    MS = 1000 * US,
};

static struct vks_latency rows[VKS_LATENCY_MAX];

static const struct {
    const char *name;
    uint64_t time_ns;
    uint32_t bucket;
} times[] = {
    {"nothing", 0, 0},
    {"the first bound", 1 * US, 0},
    {"one more", 1 * US + 1, 1},
    {"the second bound", 2 * US, 1},
    {"between two and five", 3 * US, 2},
    {"the third bound", 5 * US, 2},
    {"ten microseconds", 10 * US, 3},
    {"one less than a millisecond", 1 * MS - 1, 9},
    {"a millisecond", 1 * MS, 9},
    {"one more than a millisecond", 1 * MS + 1, 10},
    {"half a second", 500 * MS, 17},
    {"a second", UINT64_C(1000) * MS, 18},
    {"one more than a second", UINT64_C(1000) * MS + 1, 19},
    {"half of all", UINT64_C(1) << 63, 19},
    {"the longest", UINT64_MAX, 19},
};

static void check_buckets(void)
{
    for (size_t i = 0; i < sizeof(times) / sizeof(times[0]); i++)
        CHECK_EQUAL(times[i].name, vks_latency_bucket(times[i].time_ns), times[i].bucket);
    for (uint32_t bucket = 0; bucket + 1 < VKS_LATENCY_BUCKETS; bucket++) {
        CHECK_EQUAL("a bound belongs to its bucket", vks_latency_bucket(vks_latency_bound_ns(bucket)), bucket);
        CHECK_EQUAL("and no more", vks_latency_bucket(vks_latency_bound_ns(bucket) + 1), bucket + 1);
    }
    CHECK_EQUAL("the last one is open", vks_latency_bound_ns(VKS_LATENCY_BUCKETS - 1), UINT64_MAX);
}

static void *fresh_state(void)
{
    void *state = calloc(1, vks_state_bytes());

    CHECK("memory", state != NULL);
    vks_state_init(state);
    return state;
}

static void number_key(uint8_t key_id[16], uint32_t number)
{
    memset(key_id, 0, 16);
    memcpy(key_id + 12, &number, sizeof(number));
}

static void check_rows(void)
{
    void *state = fresh_state();
    uint8_t key_id[16];

    number_key(key_id, 1);
    CHECK_EQUAL("nothing yet", vks_latency_read(state, rows), 0);
    vks_latency_count(state, key_id, VKS_OP_SIGN, 30 * US);
    vks_latency_count(state, key_id, VKS_OP_SIGN, 7 * MS);
    vks_latency_count(state, key_id, VKS_OP_MAC, 1);
    vks_latency_count(state, NULL, VKS_OP_RANDOM, 1);
    vks_latency_count(state, NULL, VKS_OP_COUNT, 1);
    vks_latency_count(state, NULL, UINT32_MAX, 1);
    CHECK_EQUAL("rows", vks_latency_read(state, rows), 4);
    CHECK_EQUAL("without a name", rows[0].op, 0);
    CHECK_EQUAL("both of them", rows[0].bucket[0], 2);
    CHECK_EQUAL("without a key", rows[1].kind, VKS_LATENCY_NONE);
    CHECK_EQUAL("random", rows[1].op, VKS_OP_RANDOM);
    for (int i = 2; i < 4; i++) {
        CHECK_EQUAL("of the key", rows[i].kind, VKS_LATENCY_KEY);
        CHECK_EQUAL("its id", memcmp(rows[i].key_id, key_id, sizeof(key_id)), 0);
        CHECK_EQUAL("its time", rows[i].sum_ns, rows[i].op == VKS_OP_SIGN ? 30 * US + 7 * MS : 1);
    }
    free(state);
}

/* However many keys a guest uses, nothing is lost, and nothing written beside the table. */
static void check_overflow(void)
{
    void *state = fresh_state();
    uint64_t total = 0, of_keys = 0, of_others = 0;
    uint32_t count;
    uint8_t key_id[16];

    for (uint32_t round = 0; round < 3; round++)
        for (uint32_t number = 0; number < 4 * VKS_LATENCY_KEYS_MAX; number++) {
            number_key(key_id, number);
            vks_latency_count(state, key_id, VKS_OP_VERIFY, 100 * US);
        }
    count = vks_latency_read(state, rows);
    for (uint32_t i = 0; i < count; i++) {
        for (int bucket = 0; bucket < VKS_LATENCY_BUCKETS; bucket++)
            total += rows[i].bucket[bucket];
        of_keys += rows[i].kind == VKS_LATENCY_KEY;
        of_others += rows[i].kind == VKS_LATENCY_OTHER;
    }
    CHECK_EQUAL("all are counted", total, 3 * 4 * VKS_LATENCY_KEYS_MAX);
    CHECK("most of the table is used", of_keys > VKS_LATENCY_KEYS_MAX * 9 / 10);
    CHECK_EQUAL("the rest is one", of_others, 1);
    CHECK_EQUAL("no more than fit", count, of_keys + of_others);
    free(state);
}

static void check_given_back(void)
{
    void *state = fresh_state();
    uint8_t key_id[16];
    uint32_t index = 0;

    number_key(key_id, 1);
    vks_latency_count(state, key_id, VKS_OP_SIGN, 1);
    while (vks_latency_of_key(state, index)->kind != VKS_LATENCY_KEY)
        index++;
    vks_latency_free(vks_latency_of_key(state, index));
    CHECK_EQUAL("gone", vks_latency_read(state, rows), 0);
    vks_latency_count(state, key_id, VKS_OP_SIGN, 2);
    CHECK_EQUAL("begun anew", vks_latency_read(state, rows), 1);
    CHECK_EQUAL("from zero", rows[0].sum_ns, 2);
    free(state);
}

/* What a worker that has fallen left behind: read and counted on without a step beside the table. */
static void check_garbage(void)
{
    for (int byte = 0; byte < 256; byte++) {
        void *state = fresh_state();
        uint8_t key_id[16];

        memset(vks_state_latencies(state), byte, VKS_LATENCY_MAX * sizeof(struct vks_latency));
        number_key(key_id, (uint32_t)byte);
        vks_latency_count(state, key_id, VKS_OP_SIGN, UINT64_MAX);
        vks_latency_count(state, NULL, UINT32_MAX, 1);
        CHECK("no more than fit", vks_latency_read(state, rows) <= VKS_LATENCY_MAX);
        CHECK_EQUAL("the rest of it is whole", vks_state_check(state, vks_state_bytes()), 0);
        free(state);
    }
}

int main(void)
{
    check_buckets();
    check_rows();
    check_overflow();
    check_given_back();
    check_garbage();
    return 0;
}
