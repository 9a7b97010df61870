/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Named instants at which a worker of the test build ends by SIGKILL; nothing at all in the shipped one.
 *
 * A test arms the next two by words in the reserved part of struct vks_state_head (kill_point.c), which outlives the
 * worker, so that the successor meets the second one.
 */
#ifndef VKS_WORKER_KILL_POINT_H
#define VKS_WORKER_KILL_POINT_H

enum kill_point {
    KILL_TAKEN = 1,          /* marked in flight, nothing else */
    KILL_DECIDED = 2,        /* decided, not run */
    KILL_RAN = 3,            /* run on the fast lane, not recorded */
    KILL_RECORDED = 4,       /* recorded, no result byte written */
    KILL_MID_RESULT = 5,     /* output written, result and status not */
    KILL_BATCH_HEAD = 6,     /* last_batch_head names the request */
    KILL_USED_ELEMENT = 7,   /* used element written, not published */
    KILL_USED_IDX = 8,       /* used.idx published */
    KILL_CLEARED = 9,        /* mark cleared, shadow index behind */
    KILL_WRITTEN_DOWN = 10,  /* shadow index right, nobody signalled */
    KILL_SLOW_RUNNING = 11,  /* the slow lane is about to run it */
    KILL_REPAIR = 12,        /* a successor cleared the mark of what was published */
    KILL_DEATH_COUNTED = 13, /* a successor counted a death of one request */
    KILL_RESUMED = 14,       /* a successor knows what to redo, nobody signalled */
    KILL_RESET = 15,         /* the table of a ring that was reset is cleared, not yet the ring's */
    KILL_SET_ASIDE = 16,     /* answering one that was set aside */
    KILL_CHARGED = 17,       /* counted against its grant's budget, not run */
    KILL_ORDERED = 18,       /* keystored has it */
};

#ifdef VKS_KILL_POINTS
#include <stdint.h>

void kill_point_open(void *state);
void kill_point(enum kill_point point);
/* Every run of operation *op*, for as long as it is armed: a request that kills whoever executes it. */
void kill_point_poison(uint32_t op);
#define KILL_POINT_OPEN(state) kill_point_open(state)
#define KILL_POINT(point)      kill_point(point)
#define KILL_POINT_POISON(op)  kill_point_poison(op)
#else
#define KILL_POINT_OPEN(state) ((void)0)
#define KILL_POINT(point)      ((void)0)
#define KILL_POINT_POISON(op)  ((void)0)
#endif

#endif
