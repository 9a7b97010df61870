/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One connection to a back-end: socket, shared memory, ring, and the calls that are in it.
 *
 * Knows what is in flight and who is to be told; must not know who waits how. All functions but native_connection_open,
 * those that spin, sleep and look want the transport's lock. While @is_reaped, only the thread that
 * set it takes from the ring.
 */
#ifndef VKS_NATIVE_CONNECTION_H
#define VKS_NATIVE_CONNECTION_H

#include "native_call.h"
#include "native_ring.h"
#include "vhost_user_front_end.h"

struct native_connection {
    uint32_t references; /* of the transport, and of each call with a place here */
    struct vhost_user_front_end front_end;
    int kick_fd;
    int call_fd;
    int err_fd;
    struct native_buffers buffers;
    struct native_ring ring;
    struct native_call *in_ring[NATIVE_SLOTS];
    bool is_reaped;
    int error; /* what its calls are answered from now on; 0 while it works */
};

/* Called for each call that is done, with the lock held. */
typedef void native_call_done(void *context, struct native_call *call);

/* Connects, starts the ring and says info (MUST-22); with one reference. Or a status of the device's. */
VKS_MUST_CHECK int native_connection_open(const char *path, struct native_connection **connection);
/* Gives back a reference. @is_child: of fork(): the memory is not there. */
void native_connection_put(struct native_connection *connection, bool is_child);

/* A place for the call, which takes a reference. -EAGAIN, or why the connection is over. */
VKS_MUST_CHECK int native_connection_reserve(struct native_connection *connection, struct native_call *call,
                                             size_t size_bytes);
void native_connection_release(struct native_call *call);
/* Makes a call available that was filled in. */
void native_connection_publish(struct native_call *call);
/* Tells the device of what was published, where it wants to be told. */
void native_connection_kick(struct native_connection *connection);

/* Takes what the device has used; how many calls are done by it, those of a ring that broke among them. */
uint32_t native_connection_collect(struct native_connection *connection, native_call_done *done, void *context);
/* From here on every call is answered with @error. */
void native_connection_fail(struct native_connection *connection, int error, native_call_done *done, void *context);

uint64_t native_now_ns(void);
/* Looks at the ring for at most @ns. */
VKS_MUST_CHECK bool native_connection_spin(const struct native_connection *connection, uint64_t ns);
/*
 * Waits until the device signals, or a signal handler ran; until @end_ns if it is not 0. Forgets the signal: look at
 * the ring behind that. Else why the connection ends.
 */
VKS_MUST_CHECK int native_connection_sleep(const struct native_connection *connection, uint64_t end_ns);
/* Whether it ends. A signal stays where it is. */
VKS_MUST_CHECK int native_connection_look(const struct native_connection *connection);
/* Forgets a signal: look at the ring behind that. */
void native_connection_drain(const struct native_connection *connection);

#endif
