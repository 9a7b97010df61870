/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-bench-ring: the driver's side of a ring whose requests somebody else has built; keeps so many of them under way
 * and counts. Closed loop: what was answered is offered again in the next look at the ring.
 *
 *   vks-bench-ring RAM_FD RAM_BYTES KICK_FD CALL_FD AVAIL USED SIZE AVAIL_IDX USED_IDX EVENT_IDX SPIN_US MILLISECONDS
 *                  STATUS
 *
 * AVAIL and USED are offsets in the memory of RAM_FD. Standard input has, a line each, the head of a chain and the
 * offset of its status byte. Prints one line of JSON; any status but STATUS is an error.
 */
#include <errno.h>
#include <linux/virtio_ring.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "samples.h"

enum {
    SIZE_MAX_ENTRIES = 1024,
    STATUS_UNTOUCHED = 0xee,
    ARGUMENTS = 14,
    WAIT_MS = 5000,
};

struct load {
    uint8_t *ram;
    int kick_fd, call_fd;
    struct vring_avail *avail;
    struct vring_used *used;
    uint32_t size;
    uint16_t avail_idx, used_idx, kicked_idx;
    bool event_idx;
    uint64_t spin_ns;
    uint8_t wanted_status;
    uint32_t depth;
    uint16_t heads[SIZE_MAX_ENTRIES];
    uint64_t status_at[SIZE_MAX_ENTRIES]; /* by head */
    uint64_t sent_ns[SIZE_MAX_ENTRIES];   /* by head */
};

static struct samples samples;

static _Noreturn void fail(const char *what)
{
    fprintf(stderr, "vks-bench-ring: %s\n", what);
    exit(1);
}

static void offer(struct load *load, uint16_t head)
{
    load->avail->ring[load->avail_idx & (load->size - 1)] = head;
    load->avail_idx++;
}

/* After any number of offers: publish them, and notify where the device wants it (virtio 1.2, 2.7.10). */
static void publish(struct load *load)
{
    uint64_t one = 1;
    bool wanted;

    __atomic_store_n(&load->avail->idx, load->avail_idx, __ATOMIC_RELEASE);
    __atomic_thread_fence(__ATOMIC_SEQ_CST);
    if (load->event_idx)
        wanted = vring_need_event(*(volatile uint16_t *)(void *)&load->used->ring[load->size], load->avail_idx,
                                  load->kicked_idx);
    else
        wanted = !(*(volatile uint16_t *)&load->used->flags & VRING_USED_F_NO_NOTIFY);
    load->kicked_idx = load->avail_idx;
    if (wanted && write(load->kick_fd, &one, sizeof(one)) != sizeof(one))
        fail("kick failed");
}

static uint16_t waiting(const struct load *load)
{
    return (uint16_t)(__atomic_load_n(&load->used->idx, __ATOMIC_ACQUIRE) - load->used_idx);
}

static void sleep_until_called(struct load *load)
{
    struct pollfd call = {.fd = load->call_fd, .events = POLLIN};
    uint64_t count;

    if (load->event_idx) {
        *(volatile uint16_t *)&load->avail->ring[load->size] = load->used_idx;
        __atomic_thread_fence(__ATOMIC_SEQ_CST);
        if (waiting(load))
            return;
    }
    if (poll(&call, 1, WAIT_MS) != 1)
        fail("no answer");
    (void)!read(load->call_fd, &count, sizeof(count));
}

static uint16_t wait_for_answers(struct load *load)
{
    uint64_t spin_end_ns = 0;
    uint16_t count;

    while (!(count = waiting(load))) {
        uint64_t now = now_ns();

        if (!spin_end_ns)
            spin_end_ns = now + load->spin_ns;
        if (now >= spin_end_ns)
            sleep_until_called(load);
        else
            __builtin_ia32_pause();
    }
    return count;
}

/* Take every answer there is; each request is offered again where *again*. */
static uint32_t take(struct load *load, bool again)
{
    uint16_t count = wait_for_answers(load);
    uint64_t now = now_ns();

    if (count > load->depth)
        fail("more answers than requests");
    for (uint16_t i = 0; i < count; i++) {
        uint32_t head = load->used->ring[load->used_idx++ & (load->size - 1)].id;
        volatile uint8_t *status;

        if (head >= load->size || !load->status_at[head])
            fail("answer to nothing");
        status = load->ram + load->status_at[head];
        if (*status != load->wanted_status)
            fail("an answer has another status");
        *status = STATUS_UNTOUCHED;
        samples_add(&samples, now - load->sent_ns[head], 1);
        if (!again)
            continue;
        load->sent_ns[head] = now;
        offer(load, (uint16_t)head);
    }
    if (again)
        publish(load);
    return count;
}

static void read_requests(struct load *load, uint64_t ram_bytes)
{
    unsigned head;
    unsigned long long status_at;

    while (scanf("%u %llu", &head, &status_at) == 2) {
        if (head >= load->size || status_at == 0 || status_at >= ram_bytes || load->depth == load->size)
            fail("no such request");
        load->heads[load->depth++] = (uint16_t)head;
        load->status_at[head] = status_at;
    }
    if (!load->depth)
        fail("no requests");
}

static void run(struct load *load, uint64_t milliseconds)
{
    uint64_t start_ns = now_ns(), end_ns = start_ns + milliseconds * 1000000;
    uint32_t under_way = load->depth;

    for (uint32_t i = 0; i < load->depth; i++) {
        load->sent_ns[load->heads[i]] = start_ns;
        offer(load, load->heads[i]);
    }
    publish(load);
    while (now_ns() < end_ns)
        (void)take(load, true);
    while (under_way)
        under_way -= take(load, false);
    samples_print(&samples, now_ns() - start_ns);
}

int main(int argc, char **argv)
{
    static struct load load;
    uint64_t number[ARGUMENTS] = {0}, ram_bytes;

    if (argc != ARGUMENTS)
        fail("usage: see the source");
    for (int i = 1; i < ARGUMENTS; i++)
        number[i] = strtoull(argv[i], NULL, 10);
    ram_bytes = number[2];
    load.ram = mmap(NULL, ram_bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, (int)number[1], 0);
    if (load.ram == MAP_FAILED || number[7] > SIZE_MAX_ENTRIES || number[5] >= ram_bytes || number[6] >= ram_bytes)
        fail("no such memory");
    load.kick_fd = (int)number[3];
    load.call_fd = (int)number[4];
    load.avail = (struct vring_avail *)(void *)(load.ram + number[5]);
    load.used = (struct vring_used *)(void *)(load.ram + number[6]);
    load.size = (uint32_t)number[7];
    load.avail_idx = load.kicked_idx = (uint16_t)number[8];
    load.used_idx = (uint16_t)number[9];
    load.event_idx = number[10] != 0;
    load.spin_ns = number[11] * 1000;
    load.wanted_status = (uint8_t)number[13];
    read_requests(&load, ram_bytes);
    run(&load, number[12]);
    return 0;
}
