/* SPDX-License-Identifier: Apache-2.0 */
/* When polling pays. */
#include "poll_spin.h"

enum {
    FREE_MISSES = 8, /* before the first halving, and between two */
    HALVINGS_MAX = 6,
};

uint64_t poll_spin_ns(const struct poll_spin *spin, uint32_t poll_us)
{
    return ((uint64_t)poll_us * 1000) >> spin->misses / FREE_MISSES;
}

void poll_spin_note(struct poll_spin *spin, bool found)
{
    if (found)
        spin->misses = 0;
    else if (spin->misses < FREE_MISSES * HALVINGS_MAX)
        spin->misses++;
}
