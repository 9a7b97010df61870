/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Looking at the ring for a while before sleeping: being woken costs more than most operations take. Where it does not
 * pay several times in a row it is left out, but for a try now and then; where there is one processor, always.
 */
#ifndef VKS_NATIVE_SPIN_H
#define VKS_NATIVE_SPIN_H

#include <stdbool.h>
#include <stdint.h>

#include "vks.h"

struct native_spin {
    bool is_off;
    uint32_t misses; /* in a row */
    uint32_t skipped;
};

void native_spin_init(struct native_spin *spin);
/* How long to look this time; 0: not at all. */
VKS_MUST_CHECK uint64_t native_spin_ns(struct native_spin *spin);
/* The answer came meanwhile, or did not. */
void native_spin_note(struct native_spin *spin, bool found);

#endif
