/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* sched_getaffinity */
#include <sched.h>

#include "native_spin.h"

enum {
    SPIN_NS = 50000, /* a signature with a curve key and the way there and back */
    MISSES_MAX = 4,
    TRY_EVERY = 32,
};

void native_spin_init(struct native_spin *spin)
{
    cpu_set_t processors;

    *spin = (struct native_spin){0};
    /* With one processor the device would not run before the look is over. */
    spin->is_off = sched_getaffinity(0, sizeof(processors), &processors) == 0 && CPU_COUNT(&processors) == 1;
}

uint64_t native_spin_ns(struct native_spin *spin)
{
    if (spin->is_off)
        return 0;
    if (spin->misses < MISSES_MAX)
        return SPIN_NS;
    return ++spin->skipped % TRY_EVERY == 0 ? SPIN_NS : 0;
}

void native_spin_note(struct native_spin *spin, bool found)
{
    if (found)
        spin->misses = 0;
    else if (spin->misses < MISSES_MAX)
        spin->misses++;
}
