/* SPDX-License-Identifier: Apache-2.0 */
/* Places for workers that poll: so many and no more, each free again when its time is over or its holder gone. */
#include "poll_board.h"

#include "check.h"

int main(void)
{
    static struct vks_poll_board board;
    uint64_t now = 1000000, until = now + 50000;
    int first = vks_poll_board_take(&board, 2, 7, now, until);

    CHECK_EQUAL("begins where it is told", first, 1);
    CHECK_EQUAL("then the next", vks_poll_board_take(&board, 2, 7, now, until + 1), 0);
    CHECK_EQUAL("and no more", vks_poll_board_take(&board, 2, 0, now, until), -1);
    CHECK_EQUAL("not even for a moment longer", vks_poll_board_take(&board, 2, 0, until - 1, until + 5), -1);
    vks_poll_board_leave(&board, first, until);
    CHECK_EQUAL("given back", vks_poll_board_take(&board, 2, 0, now, until + 2), first);
    /* Whoever comes late to give back what somebody else has by now. */
    vks_poll_board_leave(&board, first, until);
    CHECK_EQUAL("still taken", vks_poll_board_take(&board, 2, 0, now, until), -1);
    CHECK_EQUAL("its holder never came back", vks_poll_board_take(&board, 2, 0, until + 1, until + 9), 0);
    CHECK_EQUAL("nor the other's", vks_poll_board_take(&board, 2, 0, until + 2, until + 9), 1);
    for (int i = 0; i < VKS_POLL_PLACES_MAX; i++)
        board.until_ns[i] = UINT64_MAX - (uint64_t)i;
    CHECK_EQUAL("taken for ever", vks_poll_board_take(&board, 2, 0, now, until), 0);
    CHECK_EQUAL("no places", vks_poll_board_take(&board, 0, 0, now, until), -1);
    return 0;
}
