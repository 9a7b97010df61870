/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Looking at the ring for a while before sleeping: a wake-up costs more than most operations. How long is the
 * administrator's to say (the snapshot's poll_us). Where it does not pay several times in a row it is halved, down to
 * almost nothing; where it does, it is whole again.
 */
#ifndef VKS_WORKER_POLL_SPIN_H
#define VKS_WORKER_POLL_SPIN_H

#include <stdbool.h>
#include <stdint.h>

struct poll_spin {
    uint32_t misses; /* in a row */
};

/* How long to look this time, given what the administrator allows. */
uint64_t poll_spin_ns(const struct poll_spin *spin, uint32_t poll_us);
/* It found work, or did not. */
void poll_spin_note(struct poll_spin *spin, bool found);

#endif
