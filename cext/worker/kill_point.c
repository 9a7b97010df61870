/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The test build's way to die at a named instant. Not in the shipped program.
 *
 * reserved[0]: armed now, point | passes << 32: the point is passed so often and kills then
 * reserved[1]: armed when that one has killed
 * reserved[2]: operation whose every run kills, plus 1; 0: none
 * reserved[3]: how often a point has killed, for the test
 */
#include "kill_point.h"

#include <signal.h>
#include <unistd.h>

#include "state.h"

static struct vks_state_head *head;

void kill_point_open(void *state)
{
    head = state;
}

static _Noreturn void die(void)
{
    for (;;)
        (void)kill(getpid(), SIGKILL);
}

void kill_point(enum kill_point point)
{
    uint64_t armed = head->reserved[0];

    if ((uint32_t)armed != (uint32_t)point)
        return;
    if (armed >> 32) {
        head->reserved[0] = armed - (UINT64_C(1) << 32);
        return;
    }
    /* Counted before it is disarmed: a test that finds it disarmed finds it counted. */
    head->reserved[3]++;
    head->reserved[0] = head->reserved[1];
    head->reserved[1] = 0;
    die();
}

void kill_point_poison(uint32_t op)
{
    if (head->reserved[2] != op + 1)
        return;
    head->reserved[3]++;
    die();
}
