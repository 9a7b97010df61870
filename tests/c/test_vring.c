/* SPDX-License-Identifier: Apache-2.0 */
/* Ring indices as a hostile driver sets them, publication, and when the driver must be signalled. */
#include <errno.h>
#include <string.h>

#include "check.h"
#include "vring.h"

enum {
    SIZE = 8,
    UVA = 0x10000,
    MEMORY = 32768,
};

static _Alignas(16) uint8_t memory[MEMORY];
static struct vks_guest_mem mem = {1, {{0, UVA, MEMORY, memory, NULL, 0}}};
static const struct vks_vring_address good = {UVA, UVA + 0x1000, UVA + 0x2000};

static void test_map(void)
{
    static const struct {
        const char *name;
        uint32_t size;
        struct vks_vring_address address;
        int want;
    } cases[] = {
        {"fits", 8, {UVA, UVA + 0x1000, UVA + 0x2000}, 0},
        {"one entry", 1, {UVA, UVA + 0x1000, UVA + 0x2000}, 0},
        {"largest", 1024, {UVA, UVA + 0x4000, UVA + 0x5000}, 0},
        {"no entry", 0, {UVA, UVA + 0x1000, UVA + 0x2000}, -EINVAL},
        {"no power of two", 7, {UVA, UVA + 0x1000, UVA + 0x2000}, -EINVAL},
        {"too large", 2048, {UVA, UVA + 0x1000, UVA + 0x2000}, -EINVAL},
        {"huge", 0x80000000, {UVA, UVA + 0x1000, UVA + 0x2000}, -EINVAL},
        {"descriptors unaligned", 8, {UVA + 8, UVA + 0x1000, UVA + 0x2000}, -EINVAL},
        {"available ring unaligned", 8, {UVA, UVA + 0x1001, UVA + 0x2000}, -EINVAL},
        {"used ring unaligned", 8, {UVA, UVA + 0x1000, UVA + 0x2002}, -EINVAL},
        {"descriptors end outside", 8, {UVA + MEMORY - 112, UVA, UVA + 0x2000}, -EFAULT},
        {"available ring ends with the region", 8, {UVA, UVA + MEMORY - 22, UVA + 0x2000}, 0},
        {"its used_event outside", 8, {UVA, UVA + MEMORY - 20, UVA + 0x2000}, -EFAULT},
        {"used ring ends with the region", 8, {UVA, UVA + 0x1000, UVA + MEMORY - 72}, 0},
        {"its avail_event outside", 8, {UVA, UVA + 0x1000, UVA + MEMORY - 68}, -EFAULT},
        {"below memory", 8, {0, UVA + 0x1000, UVA + 0x2000}, -EFAULT},
        {"address wraps", 8, {UINT64_MAX - 15, UVA + 0x1000, UVA + 0x2000}, -EFAULT},
    };
    struct vks_vring ring = {0};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK_EQUAL(cases[i].name, vks_vring_map(&ring, &mem, cases[i].size, &cases[i].address), cases[i].want);
}

static void test_odd_region(void)
{
    struct vks_guest_mem odd = {1, {{0, UVA, MEMORY - 1, memory + 1, NULL, 0}}};
    struct vks_vring ring = {0};

    CHECK_EQUAL("region at an odd place", vks_vring_map(&ring, &odd, SIZE, &good), -EFAULT);
}

static void test_available(void)
{
    static const struct {
        const char *name;
        uint16_t last_avail, idx, entry;
        int available, peek;
    } cases[] = {
        {"nothing", 0, 0, 0, 0, 0},
        {"one", 0, 1, 7, 1, 7},
        {"full", 0, SIZE, 1, SIZE, 1},
        {"one more than full", 0, SIZE + 1, 0, -EPROTO, 0},
        {"ran backwards", 1, 0, 0, -EPROTO, 0},
        {"far ahead", 0, 0x8000, 0, -EPROTO, 0},
        {"wraps", 0xfffe, 2, 3, 4, 3},
        {"wraps, full", 0xffff, 7, 3, SIZE, 3},
        {"wraps, too far", 0xffff, 8, 3, -EPROTO, 3},
        {"head just beyond", 0, 1, SIZE, 1, -EPROTO},
        {"head far beyond", 0, 1, 0xffff, 1, -EPROTO},
    };
    struct vks_vring ring = {0};

    CHECK_EQUAL("map", vks_vring_map(&ring, &mem, SIZE, &good), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ring.last_avail = cases[i].last_avail;
        ring.avail->idx = cases[i].idx;
        ring.avail->ring[cases[i].last_avail % SIZE] = cases[i].entry;
        CHECK_EQUAL(cases[i].name, vks_vring_available(&ring), cases[i].available);
        CHECK_EQUAL(cases[i].name, vks_vring_peek(&ring), cases[i].peek);
    }
}

static void test_push(void)
{
    struct vks_vring ring = {0};

    memset(memory, 0, sizeof(memory));
    CHECK_EQUAL("map", vks_vring_map(&ring, &mem, SIZE, &good), 0);
    ring.used_idx = 0xffff;
    ring.used->idx = 77; /* what the guest wrote there is not looked at */
    vks_vring_put(&ring, 5, 25);
    CHECK_EQUAL("not published", ring.used->idx, 77);
    vks_vring_publish(&ring);
    vks_vring_put(&ring, 2, 30);
    vks_vring_publish(&ring);
    CHECK_EQUAL("index wraps", ring.used->idx, 1);
    CHECK_EQUAL("first", ring.used->ring[7].id, 5);
    CHECK_EQUAL("first", ring.used->ring[7].len, 25);
    CHECK_EQUAL("second", ring.used->ring[0].id, 2);
    ring.last_avail = 0x1234;
    vks_vring_want_kick(&ring);
    CHECK_EQUAL("avail_event", memory[0x2000 + 4 + 8 * SIZE] | memory[0x2000 + 5 + 8 * SIZE] << 8, 0x1234);
    CHECK_EQUAL("used.flags untouched", ring.used->flags, 0);
}

static void test_signal(void)
{
    static const struct {
        const char *name;
        int event_idx;
        uint16_t flags, before, now, used_event;
        int want;
    } cases[] = {
        {"nothing new", 0, 0, 5, 5, 0, 0},
        {"no event index", 0, 0, 5, 6, 100, 1},
        {"driver wants none", 0, VRING_AVAIL_F_NO_INTERRUPT, 5, 6, 0, 0},
        {"the one asked for", 1, 0, 5, 6, 5, 1},
        {"in the batch", 1, 0, 5, 9, 7, 1},
        {"last of the batch", 1, 0, 5, 9, 8, 1},
        {"not yet", 1, 0, 5, 9, 9, 0},
        {"long ago", 1, 0, 5, 9, 4, 0},
        {"flags mean nothing with it", 1, VRING_AVAIL_F_NO_INTERRUPT, 5, 6, 5, 1},
        {"wraps", 1, 0, 0xfffe, 2, 0xffff, 1},
        {"wraps, not yet", 1, 0, 0xfffe, 2, 2, 0},
    };
    struct vks_vring ring = {0};

    CHECK_EQUAL("map", vks_vring_map(&ring, &mem, SIZE, &good), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        ring.event_idx = cases[i].event_idx;
        ring.signalled_used = cases[i].before;
        ring.used_idx = cases[i].now;
        ring.avail->flags = cases[i].flags;
        ring.avail->ring[SIZE] = cases[i].used_event;
        CHECK_EQUAL(cases[i].name, vks_vring_needs_signal(&ring), cases[i].want);
        CHECK_EQUAL(cases[i].name, vks_vring_needs_signal(&ring), 0);
    }
}

int main(void)
{
    test_map();
    test_odd_region();
    test_available();
    test_push();
    test_signal();
    return 0;
}
