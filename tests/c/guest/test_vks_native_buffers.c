/* SPDX-License-Identifier: BSD-3-Clause */
/* Places in the shared memory: none twice, none beyond its end, and the memory itself sealed and nobody else's. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "../check.h"
#include "native_buffers.h"

#define RING_BYTES 5000
#define LARGEST_BYTES                                                                                                  \
    ((size_t)VKS_HEAD_BYTES + VKS_PARAMETER_BYTES_MAX + VKS_AAD_BYTES_MAX + VKS_INPUT_BYTES_MAX +                      \
     VKS_OUTPUT_BYTES_MAX + VKS_RESULT_BYTES + 1)

static struct native_buffers buffers;

static void begin(void)
{
    CHECK_EQUAL("open", native_buffers_open(&buffers, RING_BYTES), 0);
}

/* Whoever writes to each byte of a place finds nobody else's there. */
static void claim(const struct native_place *place, size_t size_bytes)
{
    CHECK("behind the ring", place->offset >= RING_BYTES);
    CHECK("within", size_bytes <= buffers.size_bytes && place->offset <= buffers.size_bytes - size_bytes);
    for (size_t at = 0; at < size_bytes; at++)
        CHECK_EQUAL("untaken", buffers.base[place->offset + at], 0);
    memset(buffers.base + place->offset, 1, size_bytes);
}

static void unclaim(const struct native_place *place, size_t size_bytes)
{
    memset(buffers.base + place->offset, 0, size_bytes);
    native_buffers_give(&buffers, place);
}

static void test_slots(void)
{
    static struct native_place places[NATIVE_SLOTS];
    static bool is_taken[NATIVE_SLOTS];
    struct native_place more;

    begin();
    for (int i = 0; i < NATIVE_SLOTS; i++) {
        CHECK_EQUAL("take", native_buffers_take(&buffers, NATIVE_SLOT_BYTES, &places[i]), 0);
        CHECK("each once", !is_taken[places[i].slot]);
        is_taken[places[i].slot] = true;
        claim(&places[i], NATIVE_SLOT_BYTES);
    }
    CHECK_EQUAL("no more", native_buffers_take(&buffers, 1, &more), -EAGAIN);
    unclaim(&places[100], NATIVE_SLOT_BYTES);
    CHECK_EQUAL("one more", native_buffers_take(&buffers, 1, &more), 0);
    CHECK_EQUAL("that one", more.slot, places[100].slot);
    native_buffers_close(&buffers, false);
}

/* Sizes at random: what is taken never overlaps, and with everything given back there is room for all again. */
static void test_large(void)
{
    static struct {
        struct native_place place;
        size_t size_bytes;
    } taken[64];
    struct native_place place;
    size_t count = 0;

    begin();
    srand(1);
    for (int i = 0; i < 400; i++) {
        size_t size_bytes = NATIVE_SLOT_BYTES + 1 + (size_t)rand() % LARGEST_BYTES / 4;

        if (count == 64 || (count && rand() % 2) || native_buffers_take(&buffers, size_bytes, &place)) {
            size_t chosen = (size_t)rand() % count;

            unclaim(&taken[chosen].place, taken[chosen].size_bytes);
            taken[chosen] = taken[--count];
            continue;
        }
        claim(&place, size_bytes);
        taken[count].place = place;
        taken[count++].size_bytes = size_bytes;
    }
    while (count--)
        unclaim(&taken[count].place, taken[count].size_bytes);
    for (count = 0; native_buffers_take(&buffers, LARGEST_BYTES, &place) == 0; count++)
        claim(&place, LARGEST_BYTES);
    CHECK_EQUAL("largest ones", count, NATIVE_UNITS / ((LARGEST_BYTES + NATIVE_UNIT_BYTES - 1) / NATIVE_UNIT_BYTES));
    native_buffers_close(&buffers, false);
}

static void test_memory(void)
{
    int seals, status;
    pid_t child;

    begin();
    seals = fcntl(buffers.fd, F_GET_SEALS);
    CHECK_EQUAL("seals", seals & (F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL),
                F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
    CHECK_EQUAL("shrink", ftruncate(buffers.fd, 0), -1);
    child = fork();
    if (child == 0)
        /* ENOMEM: nothing is mapped there. */
        _exit(msync(buffers.base, 4096, MS_ASYNC) == -1 && errno == ENOMEM ? 0 : 1);
    CHECK("child", waitpid(child, &status, 0) == child);
    CHECK_EQUAL("not in a child", status, 0);
    native_buffers_close(&buffers, false);
}

int main(void)
{
    test_slots();
    test_large();
    test_memory();
    return 0;
}
