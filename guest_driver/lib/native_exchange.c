/* SPDX-License-Identifier: BSD-3-Clause */
/* Calls in and out of a connection's ring, and waiting for them. */
#define _GNU_SOURCE /* POLLRDHUP */
#include <errno.h>
#include <poll.h>
#include <time.h>
#include <unistd.h>

#include "native_connection.h"

#define SPINS_A_LOOK 16 /* at the clock, which takes as long as a few looks at the ring */

int native_connection_reserve(struct native_connection *connection, struct native_call *call, size_t size_bytes)
{
    int error = connection->error;

    if (!error)
        error = native_buffers_take(&connection->buffers, size_bytes, &call->place);
    if (error)
        return error;
    call->connection = connection;
    connection->references++;
    return 0;
}

void native_connection_release(struct native_call *call)
{
    struct native_connection *connection = call->connection;

    call->connection = NULL;
    native_buffers_give(&connection->buffers, &call->place);
    native_connection_put(connection, false);
}

void native_connection_publish(struct native_call *call)
{
    struct native_connection *connection = call->connection;
    uint64_t gpa = NATIVE_GPA + call->place.offset;
    uint16_t head = (uint16_t)(2 * call->place.slot);

    connection->ring.desc[head] =
        (struct vring_desc){gpa, call->readable_bytes, VRING_DESC_F_NEXT, (uint16_t)(head + 1)};
    connection->ring.desc[head + 1] = (struct vring_desc){
        gpa + call->readable_bytes, call->output_bytes + VKS_RESULT_BYTES + 1, VRING_DESC_F_WRITE, 0};
    connection->in_ring[call->place.slot] = call;
    native_ring_publish(&connection->ring, head);
}

void native_connection_kick(struct native_connection *connection)
{
    uint64_t one = 1;

    if (!native_ring_needs_kick(&connection->ring))
        return;
    while (write(connection->kick_fd, &one, sizeof(one)) < 0 && errno == EINTR)
        ;
}

void native_connection_drain(const struct native_connection *connection)
{
    uint64_t count;

    /* Nothing there: -EAGAIN. */
    while (read(connection->call_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}

static void end_call(struct native_connection *connection, uint16_t slot, int error, uint32_t used_bytes,
                     native_call_done *done, void *context)
{
    struct native_call *call = connection->in_ring[slot];

    connection->in_ring[slot] = NULL;
    call->error = error;
    call->used_bytes = used_bytes;
    call->is_done = true;
    done(context, call);
}

void native_connection_fail(struct native_connection *connection, int error, native_call_done *done, void *context)
{
    if (connection->error)
        return;
    connection->error = error;
    vhost_user_hang_up(&connection->front_end);
    for (uint16_t slot = 0; slot < NATIVE_SLOTS; slot++)
        if (connection->in_ring[slot])
            end_call(connection, slot, error, 0, done, context);
}

uint32_t native_connection_collect(struct native_connection *connection, native_call_done *done, void *context)
{
    struct native_used used;
    uint32_t count = 0;
    int taken = 0;

    while (!connection->error && (taken = native_ring_take(&connection->ring, &used)) > 0) {
        /* Chains begin at even heads; one that is not in flight was used twice, or never offered. */
        if (used.head % 2 || !connection->in_ring[used.head / 2]) {
            taken = -EIO;
            break;
        }
        end_call(connection, used.head / 2, 0, used.used_bytes, done, context);
        count++;
    }
    if (taken < 0) {
        native_connection_fail(connection, taken, done, context);
        count++;
    }
    return count;
}

uint64_t native_now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb");
#endif
}

bool native_connection_spin(const struct native_connection *connection, uint64_t ns)
{
    uint64_t end_ns = native_now_ns() + ns;

    do {
        for (int i = 0; i < SPINS_A_LOOK; i++) {
            if (native_ring_has_used(&connection->ring))
                return true;
            relax();
        }
    } while (native_now_ns() < end_ns);
    return false;
}

static int wait_ms(const struct native_connection *connection, int timeout_ms)
{
    struct pollfd ready[] = {{.fd = connection->call_fd, .events = POLLIN},
                             {.fd = connection->err_fd, .events = POLLIN},
                             {.fd = connection->front_end.fd, .events = POLLIN | POLLRDHUP}};
    int count = poll(ready, sizeof(ready) / sizeof(ready[0]), timeout_ms);

    if (count < 0)
        return errno == EINTR ? 0 : -errno;
    if (ready[1].revents)
        return -EIO;
    return ready[2].revents && vhost_user_is_gone(&connection->front_end) ? -ENODEV : 0;
}

int native_connection_sleep(const struct native_connection *connection, uint64_t end_ns)
{
    uint64_t now_ns = end_ns ? native_now_ns() : 0;
    int error;

    if (end_ns && now_ns >= end_ns)
        return -ETIMEDOUT;
    error = wait_ms(connection, end_ns ? (int)((end_ns - now_ns) / 1000000) + 1 : -1);
    native_connection_drain(connection);
    return error;
}

int native_connection_look(const struct native_connection *connection)
{
    return wait_ms(connection, 0);
}
