/* SPDX-License-Identifier: Apache-2.0 */
/* Descriptor chains as a hostile driver builds them: every index, address, length and flag tried wrong. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "desc_chain.h"

enum {
    GUEST_BYTES = 65536,
    INDIRECT = 0x9000, /* where the second table of a case lies, guest physical */
    BIG = 0xa000,
    BASE = 0x1000,
    TABLE = 8,
    R = 0,
    W = VRING_DESC_F_WRITE,
    N = VRING_DESC_F_NEXT,
    I = VRING_DESC_F_INDIRECT,
    NO_STATUS = -1,
};

static uint8_t guest[GUEST_BYTES];
static struct vks_guest_mem mem = {1, {{BASE, 0, GUEST_BYTES, guest, NULL, 0}}};
static struct vks_segment segments[VKS_DESCRIPTORS_MAX];
static struct vks_desc_chain chain = {.segment = segments};

struct chain_case {
    const char *name;
    struct vring_desc desc[TABLE];
    struct vring_desc indirect[TABLE];
    uint32_t head;
    int want;
    uint64_t readable_bytes;
    uint64_t writable_bytes;
    int64_t status; /* gpa of the last writable byte */
};

static const struct chain_case cases[] = {
    {"one readable", {{0x1000, 16, R, 0}}, {{0}}, 0, 0, 16, 0, NO_STATUS},
    {"one writable", {{0x1000, 16, W, 0}}, {{0}}, 0, 0, 0, 16, 0x100f},
    {"both", {{0x1000, 72, N, 1}, {0x2000, 25, W, 0}}, {{0}}, 0, 0, 72, 25, 0x2018},
    {"backwards in the table", {{0x2000, 25, W, 0}, {0x1000, 72, N, 0}}, {{0}}, 1, 0, 72, 25, 0x2018},
    {"whole guest memory", {{0x1000, GUEST_BYTES, R, 0}}, {{0}}, 0, 0, GUEST_BYTES, 0, NO_STATUS},
    {"last byte of the region", {{BASE + GUEST_BYTES - 1, 1, W, 0}}, {{0}}, 0, 0, 0, 1, BASE + GUEST_BYTES - 1},
    {"one byte past the region", {{BASE + GUEST_BYTES - 1, 2, R, 0}}, {{0}}, 0, -EFAULT, 0, 0, NO_STATUS},
    {"below the region", {{0xfff, 1, R, 0}}, {{0}}, 0, -EFAULT, 0, 0, NO_STATUS},
    {"address wraps", {{UINT64_MAX, 2, R, 0}}, {{0}}, 0, -EFAULT, 0, 0, NO_STATUS},
    {"length wraps", {{0x1000, UINT32_MAX, W, 0}}, {{0}}, 0, -EFAULT, 0, 0, NO_STATUS},
    {"bad readable, good status", {{1, 9, N, 1}, {0x2000, 4, W, 0}}, {{0}}, 0, -EFAULT, 0, 4, 0x2003},
    {"good writable, then a bad one", {{0x2000, 4, W | N, 1}, {1, 4, W, 0}}, {{0}}, 0, -EFAULT, 0, 8, NO_STATUS},
    {"bad writable, then a good one", {{1, 4, W | N, 1}, {0x2000, 4, W, 0}}, {{0}}, 0, -EFAULT, 0, 8, 0x2003},
    {"loops on itself", {{0x1000, 1, N, 0}}, {{0}}, 0, -E2BIG, 0, 0, NO_STATUS},
    {"loop of two", {{0x1000, 1, N, 1}, {0x1001, 1, N, 0}}, {{0}}, 0, -E2BIG, 0, 0, NO_STATUS},
    {"loop of empty ones", {{0x1000, 0, N, 0}}, {{0}}, 0, -E2BIG, 0, 0, NO_STATUS},
    {"loop behind a writable", {{0x2000, 4, W | N, 1}, {0x3000, 1, W | N, 1}}, {{0}}, 0, -E2BIG, 0, 0, NO_STATUS},
    {"next just beyond the table", {{0x1000, 1, N, TABLE}}, {{0}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"next far beyond the table", {{0x1000, 1, N, 0xffff}}, {{0}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"next ignored without the flag", {{0x1000, 1, R, 0xffff}}, {{0}}, 0, 0, 1, 0, NO_STATUS},
    {"head beyond the table", {{0x1000, 1, R, 0}}, {{0}}, TABLE, -EINVAL, 0, 0, NO_STATUS},
    {"readable behind writable", {{0x2000, 4, W | N, 1}, {0x1000, 4, R, 0}}, {{0}}, 0, -EINVAL, 0, 4, 0x2003},
    {"readable between writable",
     {{0x2000, 4, W | N, 1}, {0x1000, 4, N, 2}, {0x3000, 4, W, 0}},
     {{0}},
     0,
     -EINVAL,
     0,
     8,
     0x3003},
    {"empty readable", {{0x1000, 0, N, 1}, {0x2000, 1, W, 0}}, {{0}}, 0, 0, 0, 1, 0x2000},
    {"empty at no address", {{1, 0, R, 0}}, {{0}}, 0, 0, 0, 0, NO_STATUS},
    {"empty last writable", {{0x2000, 4, W | N, 1}, {1, 0, W, 0}}, {{0}}, 0, 0, 0, 4, 0x2003},
    {"same range", {{0x1000, 4, N, 1}, {0x1000, 4, W, 0}}, {{0}}, 0, -EINVAL, 4, 4, 0x1003},
    {"overlap by a byte", {{0x1000, 4, N, 1}, {0x1003, 4, W, 0}}, {{0}}, 0, -EINVAL, 4, 4, 0x1006},
    {"overlap from below", {{0x1003, 4, N, 1}, {0x1000, 4, W, 0}}, {{0}}, 0, -EINVAL, 4, 4, 0x1003},
    {"one inside the other", {{0x1000, 64, N, 1}, {0x1010, 4, W, 0}}, {{0}}, 0, -EINVAL, 64, 4, 0x1013},
    {"neighbours", {{0x1000, 4, N, 1}, {0x1004, 4, W, 0}}, {{0}}, 0, 0, 4, 4, 0x1007},
    {"interleaved, no overlap",
     {{0x1000, 4, N, 1}, {0x1008, 4, N, 2}, {0x1004, 4, W | N, 3}, {0x100c, 4, W, 0}},
     {{0}},
     0,
     0,
     8,
     8,
     0x100f},
    {"readable twice", {{0x1000, 4, N, 1}, {0x1000, 4, N, 2}, {0x2000, 1, W, 0}}, {{0}}, 0, 0, 8, 1, 0x2000},
    {"indirect", {{INDIRECT, 32, I, 0}}, {{0x1000, 72, N, 1}, {0x2000, 25, W, 0}}, 0, 0, 72, 25, 0x2018},
    {"indirect, write flag means nothing", {{INDIRECT, 16, I | W, 0}}, {{0x1000, 1, R, 0}}, 0, 0, 1, 0, NO_STATUS},
    {"indirect behind direct", {{0x1000, 72, N, 1}, {INDIRECT, 16, I, 0}}, {{0x2000, 25, W, 0}}, 0, 0, 72, 25, 0x2018},
    {"indirect, empty table", {{INDIRECT, 0, I, 0}}, {{0x1000, 1, R, 0}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"indirect, half a descriptor", {{INDIRECT, 8, I, 0}}, {{0x1000, 1, R, 0}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"indirect, one and a bit", {{INDIRECT, 17, I, 0}}, {{0x1000, 1, R, 0}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"indirect, more than the limit", {{BASE, 16 * 1025, I, 0}}, {{0}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"indirect, huge", {{INDIRECT, 0xfffffff0, I, 0}}, {{0}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"indirect outside", {{0x10, 16, I, 0}}, {{0}}, 0, -EFAULT, 0, 0, NO_STATUS},
    {"indirect ends outside", {{BASE + GUEST_BYTES - 16, 32, I, 0}}, {{0}}, 0, -EFAULT, 0, 0, NO_STATUS},
    {"indirect wraps", {{UINT64_MAX - 7, 16, I, 0}}, {{0}}, 0, -EFAULT, 0, 0, NO_STATUS},
    {"indirect with next", {{INDIRECT, 16, I | N, 1}}, {{0x1000, 1, R, 0}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"indirect in indirect", {{INDIRECT, 16, I, 0}}, {{INDIRECT, 16, I, 0}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"indirect, next beyond its table", {{INDIRECT, 16, I, 0}}, {{0x1000, 1, N, 1}}, 0, -EINVAL, 0, 0, NO_STATUS},
    {"indirect loops", {{INDIRECT, 16, I, 0}}, {{0x1000, 1, N, 0}}, 0, -E2BIG, 0, 0, NO_STATUS},
};

static void test_cases(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct chain_case *c = &cases[i];
        struct vring_desc table[TABLE];
        int got;

        /* A copy on the stack, so that the sanitizer sees a read behind the table. */
        memcpy(table, c->desc, sizeof(table));
        memcpy(guest + INDIRECT - BASE, c->indirect, sizeof(c->indirect));
        got = vks_desc_chain_walk(&chain, &mem, table, TABLE, c->head);
        CHECK_EQUAL(c->name, got, c->want);
        CHECK_EQUAL(c->name, chain.status ? chain.status - guest + BASE : NO_STATUS, c->status);
        if (got == 0)
            CHECK_EQUAL(c->name, chain.readable_bytes, c->readable_bytes);
        if (chain.status)
            CHECK_EQUAL(c->name, chain.writable_bytes, c->writable_bytes);
    }
}

/* The limit itself: 1024 descriptors are a chain, 1025 are not, wherever they come from. */
static void test_count_limit(void)
{
    struct vring_desc *indirect = (struct vring_desc *)(void *)(guest + BIG - BASE);
    struct vring_desc direct[2] = {{BIG, 16 * 1024, I, 0}, {0x1000, 1, N, 0}};

    for (uint32_t i = 0; i < 1024; i++)
        indirect[i] = (struct vring_desc){0x1000, 1, i < 1023 ? N : 0, (uint16_t)(i + 1)};
    CHECK_EQUAL("1024 descriptors", vks_desc_chain_walk(&chain, &mem, direct, 2, 0), 0);
    CHECK_EQUAL("1024 descriptors", chain.readable_bytes, 1024);
    CHECK_EQUAL("1025 descriptors", vks_desc_chain_walk(&chain, &mem, direct, 2, 1), -E2BIG);
    indirect[1022].flags = 0;
    CHECK_EQUAL("1024 descriptors, one direct", vks_desc_chain_walk(&chain, &mem, direct, 2, 1), 0);
    CHECK_EQUAL("1024 descriptors, one direct", chain.readable_bytes, 1024);
}

/* Nothing in virtio aligns an indirect table. */
static void test_odd_indirect(void)
{
    struct vring_desc inner = {0x2000, 25, W, 0}, direct = {INDIRECT + 1, 16, I, 0};

    memcpy(guest + INDIRECT + 1 - BASE, &inner, sizeof(inner));
    CHECK_EQUAL("odd address", vks_desc_chain_walk(&chain, &mem, &direct, 1, 0), 0);
    CHECK_EQUAL("odd address", chain.writable_bytes, 25);
}

static void test_copy(void)
{
    struct vring_desc table[] = {
        {0x1000, 3, N, 1}, {0x1100, 1, N, 2}, {0x1200, 4, N, 3}, {0x2000, 2, W | N, 4}, {0x2100, 6, W, 0}};
    uint8_t got[9] = {0};

    memset(guest, 0xee, sizeof(guest));
    memcpy(guest, "abc", 3);
    memcpy(guest + 0x100, "d", 1);
    memcpy(guest + 0x200, "efgh", 4);
    CHECK_EQUAL("walk", vks_desc_chain_walk(&chain, &mem, table, 5, 0), 0);
    CHECK_EQUAL("all", vks_desc_chain_read(&chain, 0, got, 8), 0);
    CHECK("all", memcmp(got, "abcdefgh", 9) == 0);
    CHECK_EQUAL("middle", vks_desc_chain_read(&chain, 2, got, 3), 0);
    CHECK("middle", memcmp(got, "cde", 3) == 0);
    CHECK_EQUAL("nothing at the end", vks_desc_chain_read(&chain, 8, got, 0), 0);
    CHECK_EQUAL("one too many", vks_desc_chain_read(&chain, 0, got, 9), -EFAULT);
    CHECK_EQUAL("one behind", vks_desc_chain_read(&chain, 8, got, 1), -EFAULT);
    CHECK_EQUAL("offset behind", vks_desc_chain_read(&chain, 9, got, 0), -EFAULT);
    CHECK_EQUAL("offset wraps", vks_desc_chain_read(&chain, UINT64_MAX, got, 2), -EFAULT);
    vks_desc_chain_write(&chain, 1, "xyz", 3);
    vks_desc_chain_write(&chain, 6, NULL, UINT64_MAX);
    vks_desc_chain_write(&chain, UINT64_MAX, "!", 1);
    CHECK("first range", memcmp(guest + BASE, "\xeex\xee", 3) == 0);
    CHECK("second range", memcmp(guest + BASE + 0x100, "yz\xee\xee\0\0\xee", 7) == 0);
}

static void test_resolve(void)
{
    static uint8_t moved[0x2000];
    struct vring_desc table[] = {{0x1000, 3, N, 1}, {0x2000, 2, W, 0}};
    struct vks_guest_mem small = {1, {{0x1000, 0, 0x1001, moved, NULL, 0}}};
    struct vks_guest_mem large = {1, {{0x1000, 0, sizeof(moved), moved, NULL, 0}}};

    CHECK_EQUAL("walk", vks_desc_chain_walk(&chain, &mem, table, 2, 0), 0);
    CHECK_EQUAL("a range went", vks_desc_chain_resolve(&chain, &small), -EFAULT);
    CHECK("no status byte", chain.status == NULL);
    CHECK_EQUAL("found again", vks_desc_chain_resolve(&chain, &large), 0);
    CHECK("status byte moved", chain.status == moved + 0x1001);
}

int main(void)
{
    test_cases();
    test_count_limit();
    test_odd_indirect();
    test_copy();
    test_resolve();
    return 0;
}
