/* SPDX-License-Identifier: Apache-2.0 */
/* The arena when it is full: what was freed serves whatever comes next, and no block ever lies in another one. */
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "secret_arena.h"

enum {
    BLOCKS = 1 << 20,
    SLOTS = 4096,
    STEPS = 400000,
};

static void *blocks[BLOCKS];

static uint32_t fill_with(size_t size_bytes)
{
    uint32_t count = 0;

    while (count < BLOCKS && (blocks[count] = vks_secret_alloc(size_bytes)) != NULL)
        count++;
    CHECK("full", count > 100 && count < BLOCKS);
    return count;
}

static void free_all(uint32_t count)
{
    while (count)
        vks_secret_free(blocks[--count]);
}

static void check_empty(size_t used_bytes)
{
    struct vks_secret_arena_usage usage = vks_secret_arena_usage();
    void *half = vks_secret_alloc(usage.size_bytes / 2);

    CHECK_EQUAL("all back", usage.used_bytes, used_bytes);
    CHECK("half of it in one block", half != NULL);
    vks_secret_free(half);
}

/* Blocks of one size go, and those of another one find room, again and again. */
static void test_sizes_take_turns(void)
{
    static const size_t sizes[] = {24, 5000, 100, 900, 24, 40000, 700, 24};
    size_t used_bytes = vks_secret_arena_usage().used_bytes;
    uint32_t first = 0;

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint32_t count = fill_with(sizes[i]);
        size_t size_bytes = vks_secret_arena_usage().size_bytes;

        CHECK("nine tenths of it", vks_secret_arena_usage().used_bytes > size_bytes - size_bytes / 10);
        if (sizes[i] == sizes[0] && first)
            CHECK("as many as at first", count + 8 > first && count < first + 8);
        if (!first)
            first = count;
        free_all(count);
        check_empty(used_bytes);
    }
}

/* Only neighbours are merged. The arena is new, so blocks lie in the order in which they were asked for. */
static void test_every_other_one(void)
{
    size_t used_bytes = vks_secret_arena_usage().used_bytes;
    uint32_t count = fill_with(112);

    for (uint32_t i = 0; i < count; i += 2) {
        vks_secret_free(blocks[i]);
        blocks[i] = NULL;
    }
    CHECK("room for two, in no place", vks_secret_alloc(240) == NULL);
    vks_secret_free(blocks[1]);
    blocks[1] = NULL;
    blocks[1] = vks_secret_alloc(240);
    CHECK("three in a row are", blocks[1] != NULL);
    free_all(count);
    check_empty(used_bytes);
}

static uint64_t chance = 88172645463325252;

static uint32_t below(uint32_t limit)
{
    chance ^= chance << 13;
    chance ^= chance >> 7;
    chance ^= chance << 17;
    return (uint32_t)(chance >> 32) % limit;
}

static bool is_filled(const uint8_t *block, size_t size_bytes, uint8_t with)
{
    for (size_t i = 0; i < size_bytes; i++)
        if (block[i] != with)
            return false;
    return true;
}

/* At its limit all the time; what was written into a block stays until it is freed. */
static void test_churn(void)
{
    static struct {
        uint8_t *block;
        size_t size_bytes;
    } slots[SLOTS];
    size_t used_bytes = vks_secret_arena_usage().used_bytes;
    uint32_t refused = 0, served = 0;

    for (uint32_t step = 0; step < STEPS; step++) {
        uint32_t i = below(SLOTS);

        if (slots[i].block) {
            CHECK("its own", is_filled(slots[i].block, slots[i].size_bytes, (uint8_t)i));
            vks_secret_free(slots[i].block);
            slots[i].block = NULL;
            continue;
        }
        slots[i].size_bytes = below(8) ? 1 + below(600) : 1 + below(60000);
        slots[i].block = vks_secret_alloc(slots[i].size_bytes);
        if (!slots[i].block) {
            refused++;
            continue;
        }
        served++;
        CHECK("zeroed", is_filled(slots[i].block, slots[i].size_bytes, 0));
        memset(slots[i].block, (uint8_t)i, slots[i].size_bytes);
    }
    CHECK("often full", refused > STEPS / 100);
    CHECK("not stuck", served > STEPS / 4);
    for (uint32_t i = 0; i < SLOTS; i++)
        vks_secret_free(slots[i].block);
    check_empty(used_bytes);
}

int main(void)
{
    CHECK_EQUAL("install", vks_secret_arena_install(), 0);
    CHECK_EQUAL("switch", vks_secret_arena_switch(0), 0);
    test_every_other_one();
    test_sizes_take_turns();
    test_churn();
    return 0;
}
