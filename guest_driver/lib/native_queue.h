/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Asynchronous calls from vks_enqueue() to vks_reap(), and the descriptor that their caller polls.
 *
 * Knows calls and descriptors; must not know the ring. Everything wants the transport's lock. A finished call has its
 * output copied out and its place given back: who is slow to reap holds up no memory that others wait for.
 */
#ifndef VKS_NATIVE_QUEUE_H
#define VKS_NATIVE_QUEUE_H

#include "native_connection.h"

struct native_queue {
    int poll_fd;          /* epoll: readable when one of the below, or of the connection's, is */
    int finished_fd;      /* readable while calls are finished */
    bool is_shown;        /* finished_fd is readable */
    uint32_t outstanding; /* taken and not reaped */
    struct native_call *free;
    struct native_call *finished;
    struct native_call **finished_end;
    struct native_call calls[VKS_IOC_PENDING_MAX];
    struct vks_ioc_request requests[VKS_IOC_PENDING_MAX]; /* each call's own */
};

VKS_MUST_CHECK int native_queue_open(struct native_queue *queue);
void native_queue_close(struct native_queue *queue);

/* Lets poll_fd be readable when the connection has something to say, and no more. */
VKS_MUST_CHECK int native_queue_watch(const struct native_queue *queue, const struct native_connection *connection);
void native_queue_unwatch(const struct native_queue *queue, const struct native_connection *connection);

/* A call with a copy of @request; NULL: there are VKS_IOC_PENDING_MAX. */
VKS_MUST_CHECK struct native_call *native_queue_take(struct native_queue *queue, const struct vks_ioc_request *request);
/* It was not sent. */
void native_queue_give(struct native_queue *queue, struct native_call *call);
/* The device, or nobody, answered. */
void native_queue_finish(struct native_queue *queue, struct native_call *call);
/* The call that finished first, into @request; false: there is none. */
VKS_MUST_CHECK bool native_queue_reap(struct native_queue *queue, struct vks_ioc_request *request);
/* Makes poll_fd say what is true now. */
void native_queue_show(struct native_queue *queue);

#endif
