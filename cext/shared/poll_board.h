/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How many workers of a host may look at their rings at the same time: a page of places, mapped by all of them.
 *
 * A place is the moment until which it is taken (CLOCK_MONOTONIC, ns), so that one whose holder was killed is free
 * again by itself, and a look that is over is 0. Nobody trusts a word of it: one that has fallen can take all places,
 * or none, and others then sleep at once, or look as often as they are set to; nothing else depends on it.
 */
#ifndef VKS_POLL_BOARD_H
#define VKS_POLL_BOARD_H

#include <stdint.h>

enum vks_poll_board_limit {
    VKS_POLL_PLACES_MAX = 64,
};

struct vks_poll_board {
    uint64_t until_ns[VKS_POLL_PLACES_MAX];
};

/*
 * Take one of the first *places* (at most VKS_POLL_PLACES_MAX) from *now_ns* to *until_ns*, which is later; *from* is
 * where to begin, anything, so that not all begin at the same one. Its index, or -1: all are taken.
 */
int vks_poll_board_take(struct vks_poll_board *board, uint32_t places, uint32_t from, uint64_t now_ns,
                        uint64_t until_ns);
/* Give back what was taken until *until_ns*, if it still is. */
void vks_poll_board_leave(struct vks_poll_board *board, int place, uint64_t until_ns);

#endif
