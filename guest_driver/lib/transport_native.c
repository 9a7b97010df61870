/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way to a device over its vhost-user socket: this process is the front-end, and brings the memory.
 *
 * The lock is given up while requests and answers are copied, and while a thread looks at the ring or sleeps. A child
 * of fork() has the descriptors but neither memory nor say.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "native_context.h"

/* The static functions want the lock. */

/* -EAGAIN: no room; @size_bytes and the call's sizes are measured. */
static int reserve(struct native_context *native, struct native_call *call, size_t size_bytes)
{
    int error = native_connect_again(native);

    return error ? error : native_connection_reserve(native->connection, call, size_bytes);
}

static void kick(struct native_context *native)
{
    if (native->connection)
        native_connection_kick(native->connection);
}

/* Copies a call in that has a place, and publishes it; the lock is given up meanwhile. */
static void send(struct native_context *native, struct native_call *call)
{
    struct native_connection *connection = call->connection;

    pthread_mutex_unlock(&native->lock);
    native_call_fill(call, connection->buffers.base, connection->front_end.features);
    pthread_mutex_lock(&native->lock);
    if (connection->error) {
        call->error = connection->error;
        call->is_done = true;
    } else {
        native_connection_publish(call);
    }
}

/* The answer of a call that was sent; the lock is given up meanwhile. */
static int receive(struct native_context *native, struct native_call *call)
{
    int error;

    native_wait_until_done(native, call);
    pthread_mutex_unlock(&native->lock);
    error = native_call_finish(call, call->connection->buffers.base);
    pthread_cond_destroy(&call->wake);
    pthread_mutex_lock(&native->lock);
    native_connection_release(call);
    native_wake_room(native);
    return error;
}

static int begin(struct native_call *call, struct vks_ioc_request *request, size_t *size_bytes)
{
    *call = (struct native_call){.request = request};
    pthread_cond_init(&call->wake, NULL);
    return native_call_measure(call, size_bytes);
}

static int native_submit(void *context, struct vks_ioc_request *request)
{
    struct native_context *native = context;
    struct native_call call;
    size_t size_bytes;
    int error;

    if (fork_mark_is_child(&native->mark))
        return -EBADF;
    error = begin(&call, request, &size_bytes);
    if (error)
        return error;
    pthread_mutex_lock(&native->lock);
    while ((error = reserve(native, &call, size_bytes)) == -EAGAIN)
        native_wait_for_room(native);
    if (!error) {
        send(native, &call);
        kick(native);
        error = receive(native, &call);
    }
    pthread_mutex_unlock(&native->lock);
    return error;
}

/* Where there is no room the oldest of the batch is waited for, so that no batch waits for itself. */
static void run_batch(struct native_context *native, struct native_call *calls, struct vks_ioc_request *requests,
                      uint32_t count)
{
    uint32_t begun = 0, collected = 0;
    size_t size_bytes;
    int error;

    while (collected < count) {
        if (begun < count) {
            error = begin(&calls[begun], &requests[begun], &size_bytes);
            if (!error)
                error = reserve(native, &calls[begun], size_bytes);
            if (!error)
                send(native, &calls[begun]);
            if (error != -EAGAIN) {
                requests[begun++].error = error;
                continue;
            }
        }
        kick(native);
        if (collected == begun) {
            native_wait_for_room(native);
            continue;
        }
        if (!requests[collected].error)
            requests[collected].error = receive(native, &calls[collected]);
        collected++;
    }
}

static int native_submit_batch(void *context, struct vks_ioc_request *requests, uint32_t count)
{
    struct native_context *native = context;
    struct native_call *calls;

    if (fork_mark_is_child(&native->mark))
        return -EBADF;
    calls = calloc(count, sizeof(*calls));
    if (!calls)
        return -ENOMEM;
    pthread_mutex_lock(&native->lock);
    run_batch(native, calls, requests, count);
    pthread_mutex_unlock(&native->lock);
    free(calls);
    return 0;
}

/* The lock is given up meanwhile. */
static int enqueue(struct native_context *native, const struct vks_ioc_request *request)
{
    struct native_call *call;
    size_t size_bytes;
    int error = native_connect_again(native);

    if (error)
        return error;
    call = native_queue_take(&native->queue, request);
    if (!call)
        return -EAGAIN;
    error = native_call_measure(call, &size_bytes);
    if (!error)
        error = reserve(native, call, size_bytes);
    /* With others outstanding poll_fd tells when to try again; without, nothing would. */
    while (error == -EAGAIN && native->queue.outstanding == 1) {
        native_wait_for_room(native);
        error = reserve(native, call, size_bytes);
    }
    if (!error) {
        send(native, call);
        error = call->error;
        if (error)
            native_connection_release(call);
    }
    if (error) {
        native_queue_give(&native->queue, call);
        return error;
    }
    kick(native);
    native_settle(native);
    return 0;
}

static int native_enqueue(void *context, const struct vks_ioc_request *request)
{
    struct native_context *native = context;
    int error;

    if (fork_mark_is_child(&native->mark))
        return -EBADF;
    pthread_mutex_lock(&native->lock);
    error = enqueue(native, request);
    native_queue_show(&native->queue);
    pthread_mutex_unlock(&native->lock);
    return error;
}

static int native_reap(void *context, struct vks_ioc_request *requests, uint32_t *count)
{
    struct native_context *native = context;
    uint32_t room = *count;

    *count = 0;
    if (fork_mark_is_child(&native->mark))
        return -EBADF;
    pthread_mutex_lock(&native->lock);
    native_look(native);
    while (*count < room && native_queue_reap(&native->queue, &requests[*count]))
        ++*count;
    native_queue_show(&native->queue);
    pthread_mutex_unlock(&native->lock);
    return 0;
}

static int native_poll_fd(const void *context)
{
    return ((const struct native_context *)context)->queue.poll_fd;
}

static void native_close(void *context)
{
    struct native_context *native = context;
    struct native_connection *connection = native->connection;

    if (fork_mark_is_child(&native->mark)) {
        /* Whoever had the lock or a call when the process forked is not here. */
        if (connection) {
            connection->references = 1;
            native_connection_put(connection, true);
        }
    } else {
        if (connection)
            native_fail(native, connection, -ENODEV);
        pthread_cond_destroy(&native->room);
        pthread_mutex_destroy(&native->lock);
    }
    native_queue_close(&native->queue);
    fork_mark_remove(&native->mark);
    free(native);
}

static const struct vks_transport native_transport = {
    .submit = native_submit,
    .submit_batch = native_submit_batch,
    .enqueue = native_enqueue,
    .reap = native_reap,
    .poll_fd = native_poll_fd,
    .close = native_close,
};

int vks_native_open(const char *path, struct vks_device *device)
{
    struct native_context *native = calloc(1, sizeof(*native));
    int error;

    if (!native)
        return -ENOMEM;
    pthread_mutex_init(&native->lock, NULL);
    pthread_cond_init(&native->room, NULL);
    native_spin_init(&native->spin);
    error = native_queue_open(&native->queue);
    if (!error)
        error = fork_mark_make(&native->mark);
    if (!error && strlen(path) >= sizeof(native->path))
        error = -ENAMETOOLONG;
    if (!error)
        error = native_connection_open(path, &native->connection);
    if (!error)
        error = native_queue_watch(&native->queue, native->connection);
    if (error) {
        if (native->connection)
            native_connection_put(native->connection, false);
        native_queue_close(&native->queue);
        fork_mark_remove(&native->mark);
        pthread_cond_destroy(&native->room);
        pthread_mutex_destroy(&native->lock);
        free(native);
        return error;
    }
    memcpy(native->path, path, strlen(path) + 1);
    device->transport = &native_transport;
    device->context = native;
    return 0;
}
