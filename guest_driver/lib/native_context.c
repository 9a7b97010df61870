/* SPDX-License-Identifier: BSD-3-Clause */
/* Whose turn it is, and that nobody sleeps over an answer. */
#include <errno.h>

#include "native_context.h"

static void call_done(void *context, struct native_call *call)
{
    struct native_context *native = context;

    if (call->is_asynchronous)
        native_queue_finish(&native->queue, call);
    else
        pthread_cond_signal(&call->wake);
}

void native_wake_room(struct native_context *native)
{
    if (native->room_waiters)
        pthread_cond_broadcast(&native->room);
}

/* Lets go of a connection that is over. */
static void drop(struct native_context *native, struct native_connection *connection)
{
    if (native->connection != connection)
        return;
    native->connection = NULL;
    native_queue_unwatch(&native->queue, connection);
    native_connection_put(connection, false);
    native_wake_room(native);
}

void native_fail(struct native_context *native, struct native_connection *connection, int error)
{
    native_connection_fail(connection, error, call_done, native);
    drop(native, connection);
}

static uint32_t collect(struct native_context *native, struct native_connection *connection)
{
    uint32_t count = native_connection_collect(connection, call_done, native);

    if (count)
        native_wake_room(native);
    if (connection->error)
        drop(native, connection);
    return count;
}

int native_connect_again(struct native_context *native)
{
    struct native_connection *fresh;
    int error;

    if (native->connection)
        return 0;
    if (native->queue.outstanding)
        return -ENODEV;
    error = native_connection_open(native->path, &fresh);
    if (error)
        return -ENODEV;
    error = native_queue_watch(&native->queue, fresh);
    if (error) {
        native_connection_put(fresh, false);
        return error;
    }
    native->connection = fresh;
    return 0;
}

/* This thread's turn: until something was taken from the ring, the connection ended, or for no reason at all. */
static void reap_once(struct native_context *native, struct native_connection *connection)
{
    uint64_t spin_ns;
    bool found = false;
    int error;

    if (collect(native, connection) || connection->error)
        return;
    spin_ns = native_spin_ns(&native->spin);
    if (spin_ns) {
        native_ring_want_none(&connection->ring);
        pthread_mutex_unlock(&native->lock);
        found = native_connection_spin(connection, spin_ns);
        pthread_mutex_lock(&native->lock);
        native_spin_note(&native->spin, found);
    }
    if (found || connection->error || native_ring_want_signal(&connection->ring)) {
        (void)collect(native, connection);
        return;
    }
    pthread_mutex_unlock(&native->lock);
    error = native_connection_sleep(connection, 0);
    pthread_mutex_lock(&native->lock);
    (void)collect(native, connection);
    if (error)
        native_fail(native, connection, error);
}

/* Waits for a change: by reaping, or for @turn where somebody does. */
static void await_change(struct native_context *native, struct native_connection *connection, pthread_cond_t *turn)
{
    if (connection->is_reaped) {
        pthread_cond_wait(turn, &native->lock);
        return;
    }
    connection->references++;
    connection->is_reaped = true;
    reap_once(native, connection);
    connection->is_reaped = false;
    native_queue_show(&native->queue);
    native_connection_put(connection, false);
}

/* Nobody reaps: have the device signal the next one, and miss none that came before it knew. */
static void settle(struct native_context *native, struct native_connection *connection)
{
    while (!connection->is_reaped && !connection->error && native_ring_want_signal(&connection->ring))
        (void)collect(native, connection);
}

/* This thread waits no longer; another one has to reap, if there is one. */
static void pass_on(struct native_context *native, struct native_connection *connection)
{
    const struct native_call *next = native->waiting;

    if (connection->is_reaped || connection->error)
        return;
    while (next && next->connection != connection)
        next = next->next;
    if (next) {
        pthread_cond_signal((pthread_cond_t *)(uintptr_t)&next->wake);
    } else if (native->room_waiters) {
        native_wake_room(native);
    } else if (native->queue.outstanding) {
        settle(native, connection);
        native_queue_show(&native->queue);
    }
}

void native_wait_for_room(struct native_context *native)
{
    struct native_connection *connection = native->connection;

    connection->references++;
    native->room_waiters++;
    await_change(native, connection, &native->room);
    native->room_waiters--;
    pass_on(native, connection);
    native_connection_put(connection, false);
}

void native_wait_until_done(struct native_context *native, struct native_call *call)
{
    struct native_call **link = &native->waiting;

    if (call->is_done)
        return;
    call->next = native->waiting;
    native->waiting = call;
    while (!call->is_done)
        await_change(native, call->connection, &call->wake);
    while (*link != call)
        link = &(*link)->next;
    *link = call->next;
    pass_on(native, call->connection);
}

void native_settle(struct native_context *native)
{
    struct native_connection *connection = native->connection;

    if (!connection)
        return;
    connection->references++;
    settle(native, connection);
    native_connection_put(connection, false);
}

void native_look(struct native_context *native)
{
    struct native_connection *connection = native->connection;
    int error = 0;

    if (!connection || connection->is_reaped)
        return;
    connection->references++;
    native_connection_drain(connection);
    if (!collect(native, connection) && !connection->error)
        error = native_connection_look(connection);
    if (error)
        native_fail(native, connection, error);
    settle(native, connection);
    native_connection_put(connection, false);
}
