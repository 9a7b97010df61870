/* SPDX-License-Identifier: Apache-2.0 */
/* How long polling goes on: whole while it pays, halved and halved again where it does not, never ended for good. */
#include "poll_spin.h"

#include "check.h"

enum {
    POLL_US = 64,
    WHOLE_NS = POLL_US * 1000,
};

int main(void)
{
    struct poll_spin spin = {0};
    uint64_t last = WHOLE_NS;

    CHECK_EQUAL("switched off", poll_spin_ns(&spin, 0), 0);
    CHECK_EQUAL("at first", poll_spin_ns(&spin, POLL_US), WHOLE_NS);
    for (int i = 0; i < 7; i++)
        poll_spin_note(&spin, false);
    CHECK_EQUAL("a few misses", poll_spin_ns(&spin, POLL_US), WHOLE_NS);
    poll_spin_note(&spin, false);
    CHECK_EQUAL("one more", poll_spin_ns(&spin, POLL_US), WHOLE_NS / 2);
    for (int i = 0; i < 100000; i++) {
        uint64_t now;

        poll_spin_note(&spin, false);
        now = poll_spin_ns(&spin, POLL_US);
        CHECK("it only gets shorter", now <= last);
        last = now;
    }
    CHECK_EQUAL("the shortest", last, WHOLE_NS / 64);
    poll_spin_note(&spin, true);
    CHECK_EQUAL("it paid", poll_spin_ns(&spin, POLL_US), WHOLE_NS);
    return 0;
}
