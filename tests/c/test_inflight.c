/* SPDX-License-Identifier: Apache-2.0 */
/* What a ring finds when it starts again: after a stop, after a reset, after a SIGKILL between any two writes. */
#include <string.h>

#include "check.h"
#include "inflight.h"

enum {
    SIZE = 8,
    UVA = 0x10000,
};

static _Alignas(64) uint8_t state[2 << 20];
static _Alignas(16) uint8_t memory[8192];
static struct vks_guest_mem mem = {1, {{0, UVA, sizeof(memory), memory, NULL, 0}}};
static struct inflight inflight;
static struct vks_vring ring;
static struct head_queue redo;

static uint64_t start_id;

/* Each start is another one of the front-end's, as long as the test does not repeat the id. */
static bool start(uint16_t base)
{
    return inflight_start(&inflight, &ring, &(struct inflight_start){start_id, base}, &redo);
}

static void fresh(uint16_t base)
{
    struct vks_vring_address address = {UVA, UVA + 0x800, UVA + 0x1000};

    memset(state, 0, sizeof(state));
    memset(memory, 0, sizeof(memory));
    memset(&ring, 0, sizeof(ring));
    CHECK("state fits", vks_state_bytes() <= sizeof(state));
    vks_state_init(state);
    CHECK_EQUAL("state", vks_state_check(state, sizeof(state)), 0);
    inflight_open(&inflight, state, 0);
    CHECK_EQUAL("map", vks_vring_map(&ring, &mem, SIZE, &address), 0);
    ring.used->idx = base;
    CHECK_EQUAL("a fresh table has nothing to resume", start(base), 0);
    CHECK_EQUAL("base", ring.last_avail, base);
}

static void take(uint16_t head)
{
    inflight_take(&inflight, head);
    ring.last_avail++;
}

/* A successor: private indices are gone, state memory and guest memory stay. */
static bool restart(uint16_t base)
{
    ring.last_avail = ring.used_idx = 0xdead;
    ring.event_idx = false;
    inflight_open(&inflight, state, 0);
    inflight.started = false;
    return start(base);
}

static void check_redo(const char *name, uint32_t count, const uint16_t *heads)
{
    CHECK_EQUAL(name, redo.count, count);
    for (uint32_t i = 0; i < count; i++)
        CHECK_EQUAL(name, head_queue_pop(&redo), heads[i]);
}

static void test_resume_in_order(void)
{
    fresh(0xfffe);
    take(5);
    take(1);
    take(7);
    take(3);
    inflight_answer(&inflight, &ring, 1, 25);
    CHECK("same base goes on", restart(2));
    CHECK_EQUAL("next available", ring.last_avail, 2);
    CHECK_EQUAL("next used", ring.used_idx, 0xffff);
    check_redo("order of taking", 3, (const uint16_t[]){5, 7, 3});
}

static void check_run(const char *name, uint16_t head, uint64_t sequence, uint32_t attempt)
{
    const struct vks_state_slot *slot = inflight_run(&inflight, head);

    CHECK_EQUAL(name, slot->sequence, sequence);
    CHECK_EQUAL(name, slot->attempt, attempt);
}

static void test_numbers(void)
{
    fresh(0);
    take(2);
    take(6);
    check_run("first", 2, 1, 1);
    check_run("second", 6, 2, 1);
    check_run("second, again", 6, 2, 2);
    inflight_cancel_run(&inflight, 6);
    CHECK("goes on", restart(2));
    check_run("sequence stays, attempts count", 6, 2, 2);
    inflight_answer(&inflight, &ring, 6, 0);
    take(6);
    check_run("a new request", 6, 3, 1);
}

static void test_reset(void)
{
    fresh(0);
    take(2);
    inflight.queue->features = 1;
    CHECK("another base is a reset", !restart(5));
    CHECK_EQUAL("nothing to redo", redo.count, 0);
    CHECK_EQUAL("nothing taken", inflight_is_taken(&inflight, 2), 0);
    CHECK_EQUAL("features forgotten", inflight.queue->features, 0);
    CHECK_EQUAL("base", ring.last_avail, 5);
    fresh(0);
    take(2);
    CHECK_EQUAL("map", vks_vring_map(&ring, &mem, SIZE / 2, &ring.address), 0);
    CHECK("another size is a reset", !restart(1));
    fresh(0);
    inflight.queue->features = 1;
    CHECK("base 0 with nothing in flight is a reset", !restart(0));
    CHECK_EQUAL("features forgotten", inflight.queue->features, 0);
    fresh(0xfffe);
    take(2);
    take(3);
    CHECK("base 0 in the middle of the count goes on", restart(0));
    ring.used->idx = 0;
    CHECK("base 0 with a fresh used ring is a reset", !restart(0));
    CHECK_EQUAL("used", ring.used_idx, 0);
}

static void test_features(void)
{
    fresh(0);
    take(2);
    inflight_answer(&inflight, &ring, 2, 0);
    inflight.queue->features = UINT64_C(1) << VIRTIO_RING_F_EVENT_IDX;
    CHECK("nothing in flight, same base", restart(1));
    CHECK("the driver is the same", ring.event_idx);
}

/* SIGKILL between the writes of an answer; *published* of them were done. */
static void die_in_answer(uint16_t head, int published)
{
    if (published > 0)
        inflight.queue->last_batch_head = head;
    if (published > 1)
        inflight.queue->last_batch_used_idx = (uint16_t)(ring.used_idx + 1);
    if (published > 2)
        vks_vring_put(&ring, head, 25);
    if (published > 3)
        vks_vring_publish(&ring);
    if (published > 4)
        inflight.slot[head].inflight = 0;
    if (published > 5)
        inflight.queue->used_idx = ring.used_idx;
}

static void test_sigkill(void)
{
    for (int published = 0; published <= 6; published++) {
        /* The front-end's next start, and the same one repeated to a successor, which goes on whatever base says. */
        for (int repeated = 0; repeated < 2; repeated++) {
            start_id = repeated ? 7 : 0;
            fresh(0xffff);
            take(4);
            take(6);
            take(0);
            inflight_answer(&inflight, &ring, 0, 25);
            die_in_answer(6, published);
            CHECK_EQUAL("keystored computes the base", vks_state_next_base(state, 0), 2);
            CHECK("goes on", restart(repeated ? 1234 : 2));
            CHECK_EQUAL("nothing is taken twice or lost", ring.last_avail, 2);
            CHECK_EQUAL("used", ring.used_idx, published > 3 ? 1 : 0);
            if (published > 3)
                check_redo("answered once", 1, (const uint16_t[]){4});
            else
                check_redo("not answered yet", 2, (const uint16_t[]){4, 6});
        }
    }
    start_id = 0;
}

/* A start that is not known to the table, cut short while the table was cleared, is not taken for the old one. */
static void test_reset_cut_short(void)
{
    fresh(0);
    take(2);
    take(3);
    inflight.queue->desc_num = 0;
    inflight.slot[2].inflight = 0;
    CHECK("not the old ring", !restart(0));
    CHECK_EQUAL("nothing to redo", redo.count, 0);
    CHECK_EQUAL("base", ring.last_avail, 0);
}

static void test_same_start_with_nothing_in_flight(void)
{
    start_id = 5;
    fresh(0xffff);
    inflight.queue->features = 1;
    take(2);
    inflight_answer(&inflight, &ring, 2, 25);
    CHECK("base 0, told again", restart(0));
    CHECK_EQUAL("features stay", inflight.queue->features, 1);
    start_id = 6;
    CHECK("base 0, another start", !restart(0));
    CHECK_EQUAL("features forgotten", inflight.queue->features, 0);
    start_id = 0;
}

/* Only what was being executed counts, only once a worker died, and an answer forgets it. */
static void test_deaths(void)
{
    fresh(0);
    take(2);
    take(3);
    take(4);
    (void)inflight_execute(&inflight, 2);
    (void)inflight_execute(&inflight, 3);
    inflight_postpone(&inflight, 3);
    CHECK("a stop and a start", start(3));
    CHECK_EQUAL("nobody died", inflight_deaths(&inflight, 2), 0);
    for (uint32_t deaths = 1; deaths < 200; deaths++) {
        (void)inflight_execute(&inflight, 2);
        CHECK("goes on", restart(3));
        CHECK_EQUAL("executed", inflight_deaths(&inflight, 2), deaths < 127 ? deaths : 127);
    }
    CHECK_EQUAL("waited", inflight_deaths(&inflight, 3), 0);
    CHECK_EQUAL("never begun", inflight_deaths(&inflight, 4), 0);
    CHECK("goes on", restart(3));
    CHECK_EQUAL("not executed since", inflight_deaths(&inflight, 2), 127);
    inflight_answer(&inflight, &ring, 2, 0);
    take(2);
    CHECK_EQUAL("another request", inflight_deaths(&inflight, 2), 0);
}

/* used.idx belongs to the guest's memory: only the one value that repairs is believed. */
static void test_lying_used_idx(void)
{
    static const uint16_t lies[] = {0xffff, 2, 3, 0x8000};

    for (size_t i = 0; i < sizeof(lies) / sizeof(lies[0]); i++) {
        fresh(0);
        take(4);
        take(6);
        ring.used->idx = lies[i];
        CHECK("goes on", restart(2));
        CHECK_EQUAL("the shadow counts", ring.used_idx, 0);
        check_redo("all redone", 2, (const uint16_t[]){4, 6});
    }
}

static void test_queue(void)
{
    struct head_queue queue = {0};

    head_queue_push(&queue, 1);
    head_queue_push_front(&queue, 2);
    head_queue_push(&queue, 3);
    CHECK_EQUAL("front", head_queue_pop(&queue), 2);
    CHECK_EQUAL("first", head_queue_pop(&queue), 1);
    for (uint32_t i = 0; i < VKS_STATE_QUEUE_SIZE_MAX - 1; i++)
        head_queue_push(&queue, (uint16_t)i);
    CHECK_EQUAL("full", queue.count, VKS_STATE_QUEUE_SIZE_MAX);
    CHECK_EQUAL("full", head_queue_pop(&queue), 3);
    CHECK_EQUAL("full", head_queue_pop(&queue), 0);
}

int main(void)
{
    test_resume_in_order();
    test_numbers();
    test_reset();
    test_features();
    test_sigkill();
    test_reset_cut_short();
    test_same_start_with_nothing_in_flight();
    test_deaths();
    test_lying_used_idx();
    test_queue();
    return 0;
}
