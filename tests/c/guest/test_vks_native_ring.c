/* SPDX-License-Identifier: BSD-3-Clause */
/* The driver's side of a split ring against a device that counts, names and signals as it likes. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../check.h"
#include "native_ring.h"

#define SIZE 8

struct rig {
    void *memory;
    struct native_ring ring;
};

static void rig_make(struct rig *rig, bool event_idx)
{
    /* Exactly as large as it says: one byte further is the sanitizer's. */
    size_t bytes = native_ring_bytes(SIZE);

    rig->memory = aligned_alloc(64, bytes);
    CHECK("memory", rig->memory != NULL);
    memset(rig->memory, 0, bytes);
    native_ring_init(&rig->ring, rig->memory, SIZE, event_idx);
}

static void device_uses(struct rig *rig, uint16_t index, uint32_t id, uint32_t used_bytes)
{
    rig->ring.used->ring[index % SIZE].id = id;
    rig->ring.used->ring[index % SIZE].len = used_bytes;
    rig->ring.used->idx = (uint16_t)(index + 1);
}

static const struct {
    const char *name;
    uint16_t published, used_idx;
    uint32_t id;
    int taken;
} elements[] = {
    {"nothing", 2, 0, 0, 0},
    {"one", 2, 1, 4, 1},
    {"all", 2, 2, 4, 1},
    {"one more than were given", 2, 3, 4, -EIO},
    {"backwards", 2, UINT16_MAX, 4, -EIO},
    {"without any", 0, 1, 0, -EIO},
    {"last head", 2, 1, SIZE - 1, 1},
    {"head beyond the ring", 2, 1, SIZE, -EIO},
    {"head beyond 16 bits", 2, 1, 0x10004, -EIO},
    {"all bits", 2, 1, UINT32_MAX, -EIO},
};

static void test_elements(void)
{
    for (size_t i = 0; i < sizeof(elements) / sizeof(elements[0]); i++) {
        struct native_used used = {0};
        struct rig rig;

        rig_make(&rig, true);
        for (uint16_t head = 0; head < elements[i].published; head++)
            native_ring_publish(&rig.ring, (uint16_t)(2 * head));
        rig.ring.used->ring[0].id = elements[i].id;
        rig.ring.used->ring[0].len = 77;
        rig.ring.used->idx = elements[i].used_idx;
        CHECK_EQUAL(elements[i].name, native_ring_take(&rig.ring, &used), elements[i].taken);
        if (elements[i].taken > 0) {
            CHECK_EQUAL(elements[i].name, used.head, elements[i].id);
            CHECK_EQUAL(elements[i].name, used.used_bytes, 77);
        }
        free(rig.memory);
    }
}

/* Indices go round at 65536, the ring much earlier. */
static void test_round(void)
{
    struct native_used used;
    struct rig rig;

    rig_make(&rig, true);
    for (uint32_t i = 0; i < 70000; i++) {
        native_ring_publish(&rig.ring, (uint16_t)(i % SIZE));
        CHECK_EQUAL("available", rig.ring.avail->ring[i % SIZE], i % SIZE);
        CHECK_EQUAL("index", rig.ring.avail->idx, (uint16_t)(i + 1));
        device_uses(&rig, (uint16_t)i, i % SIZE, i);
        CHECK_EQUAL("taken", native_ring_take(&rig.ring, &used), 1);
        CHECK_EQUAL("head", used.head, i % SIZE);
        CHECK_EQUAL("length", used.used_bytes, i);
    }
    free(rig.memory);
}

static const struct {
    const char *name;
    bool event_idx;
    uint16_t avail_event, flags, published;
    bool kicked;
} kicks[] = {
    {"event reached", true, 0, 0, 1, true},
    {"event among them", true, 2, 0, 4, true},
    {"event not reached", true, 4, 0, 4, false},
    {"event long ago", true, UINT16_MAX, 0, 4, false},
    {"flag counts for nothing", true, 0, VRING_USED_F_NO_NOTIFY, 1, true},
    {"no event index", false, 40, 0, 1, true},
    {"no event index, not wanted", false, 0, VRING_USED_F_NO_NOTIFY, 1, false},
    {"nothing new", true, 0, 0, 0, false},
};

static void test_kicks(void)
{
    for (size_t i = 0; i < sizeof(kicks) / sizeof(kicks[0]); i++) {
        struct rig rig;

        rig_make(&rig, kicks[i].event_idx);
        rig.ring.used->flags = kicks[i].flags;
        memcpy((void *)(uintptr_t)&rig.ring.used->ring[SIZE], &kicks[i].avail_event, sizeof(kicks[i].avail_event));
        for (uint16_t head = 0; head < kicks[i].published; head++)
            native_ring_publish(&rig.ring, head);
        CHECK_EQUAL(kicks[i].name, native_ring_needs_kick(&rig.ring), kicks[i].kicked);
        CHECK_EQUAL("once", native_ring_needs_kick(&rig.ring), false);
        free(rig.memory);
    }
}

/* As the device decides whether to signal: vring_need_event(). */
static void test_signals(void)
{
    struct native_used used;
    struct rig rig;

    rig_make(&rig, true);
    for (uint16_t head = 0; head < 4; head++)
        native_ring_publish(&rig.ring, head);
    CHECK_EQUAL("quiet", vring_need_event(rig.ring.avail->ring[SIZE], 4, 0), 0);
    CHECK_EQUAL("none yet", native_ring_want_signal(&rig.ring), false);
    CHECK_EQUAL("signalled", vring_need_event(rig.ring.avail->ring[SIZE], 1, 0), 1);
    device_uses(&rig, 0, 0, 25);
    CHECK_EQUAL("taken", native_ring_take(&rig.ring, &used), 1);
    device_uses(&rig, 1, 1, 25);
    /* It came after the last one was taken and before the wish: the device has no reason to signal it. */
    CHECK_EQUAL("one is there", native_ring_want_signal(&rig.ring), true);
    native_ring_want_none(&rig.ring);
    CHECK_EQUAL("quiet again", vring_need_event(rig.ring.avail->ring[SIZE], 4, 1), 0);
    free(rig.memory);
    rig_make(&rig, false);
    CHECK_EQUAL("by flag", rig.ring.avail->flags, VRING_AVAIL_F_NO_INTERRUPT);
    CHECK_EQUAL("none yet", native_ring_want_signal(&rig.ring), false);
    CHECK_EQUAL("by flag", rig.ring.avail->flags, 0);
    free(rig.memory);
}

int main(void)
{
    test_elements();
    test_round();
    test_kicks();
    test_signals();
    return 0;
}
