/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A device over its vhost-user socket, as its threads share it: who waits, and who looks at the ring for all.
 *
 * One lock over everything, which all functions here want. Of the threads that wait one *reaps*: it takes what the
 * device has used, and hands that on; the others sleep until their call is done or it is their turn. Where nobody waits
 * the device signals the descriptor that the caller polls, and vks_reap() takes.
 */
#ifndef VKS_NATIVE_CONTEXT_H
#define VKS_NATIVE_CONTEXT_H

#include "fork_mark.h"
#include "native_queue.h"
#include "native_spin.h"
#include "transport.h"

struct native_context {
    char path[VKS_PATH_BYTES];
    struct fork_mark mark;
    pthread_mutex_t lock;
    struct native_connection *connection; /* NULL: gone */
    struct native_call *waiting;          /* synchronous ones whose threads are here, the newest first */
    pthread_cond_t room;                  /* memory was given back, the connection ended, or it is a turn to reap */
    uint32_t room_waiters;
    struct native_spin spin;
    struct native_queue queue;
};

/* The connection there is, or another one, once nothing is outstanding of the last; -ENODEV. */
VKS_MUST_CHECK int native_connect_again(struct native_context *native);
/* Takes what is in the ring, unless somebody reaps, and has the device signal what comes next. */
void native_settle(struct native_context *native);
/* The same for a caller who was told that there is something: also sees that the connection is over. */
void native_look(struct native_context *native);
/* Ends a connection: what is in it is answered with @error. */
void native_fail(struct native_context *native, struct native_connection *connection, int error);

/* These give the lock up meanwhile. The first returns when there may be room, the second when the call is done. */
void native_wait_for_room(struct native_context *native);
void native_wait_until_done(struct native_context *native, struct native_call *call);
/* Memory was given back. */
void native_wake_room(struct native_context *native);

#endif
