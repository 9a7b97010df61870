/* SPDX-License-Identifier: Apache-2.0 */
/* Places that expire. */
#include "poll_board.h"

#include <stdbool.h>

/* A moment that lies further ahead than any look was written by nobody honest: as good as free. */
static const uint64_t LOOK_NS_MAX = UINT64_C(1000000000);

static bool is_free(uint64_t until_ns, uint64_t now_ns)
{
    return until_ns <= now_ns || until_ns - now_ns > LOOK_NS_MAX;
}

int vks_poll_board_take(struct vks_poll_board *board, uint32_t places, uint32_t from, uint64_t now_ns,
                        uint64_t until_ns)
{
    for (uint32_t i = 0; i < places; i++) {
        uint32_t place = (from % places + i) % places;
        uint64_t seen = __atomic_load_n(&board->until_ns[place], __ATOMIC_RELAXED);

        if (is_free(seen, now_ns) && __atomic_compare_exchange_n(&board->until_ns[place], &seen, until_ns, false,
                                                                 __ATOMIC_RELAXED, __ATOMIC_RELAXED))
            return (int)place;
    }
    return -1;
}

void vks_poll_board_leave(struct vks_poll_board *board, int place, uint64_t until_ns)
{
    (void)__atomic_compare_exchange_n(&board->until_ns[place], &until_ns, 0, false, __ATOMIC_RELAXED, __ATOMIC_RELAXED);
}
