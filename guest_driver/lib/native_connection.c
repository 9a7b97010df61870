/* SPDX-License-Identifier: BSD-3-Clause */
/* How a connection begins and ends. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/eventfd.h>
#include <unistd.h>

#include "native_connection.h"

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

void native_connection_put(struct native_connection *connection, bool is_child)
{
    if (--connection->references)
        return;
    vhost_user_close(&connection->front_end);
    native_buffers_close(&connection->buffers, is_child);
    close_fd(&connection->kick_fd);
    close_fd(&connection->call_fd);
    close_fd(&connection->err_fd);
    free(connection);
}

/* The call says so itself. */
static void note_done(void *context, struct native_call *call)
{
    (void)context;
    (void)call;
}

/* First contact. The call is on this stack: the connection is over where it was not answered. */
static int hello(struct native_connection *connection)
{
    struct vks_info info = {0};
    struct vks_info_request input = {.abi_version_min = htole16(VKS_ABI_VERSION_MIN),
                                     .abi_version_max = htole16(VKS_ABI_VERSION)};
    struct vks_ioc_request request = {
        .head = {.opcode = htole32(VKS_OP_INFO),
                 .input_bytes = htole32(sizeof(input)),
                 .output_bytes = htole32(sizeof(info)),
                 .abi_version = htole16(VKS_ABI_VERSION)},
        .input_ptr = (uintptr_t)&input,
        .output_ptr = (uintptr_t)&info,
    };
    struct native_call call = {.request = &request};
    uint64_t end_ns = native_now_ns() + (uint64_t)VHOST_USER_WAIT_MS * 1000000;
    size_t size_bytes;
    int error = native_call_measure(&call, &size_bytes);

    if (!error)
        error = native_connection_reserve(connection, &call, size_bytes);
    if (error)
        return error;
    native_call_fill(&call, connection->buffers.base, connection->front_end.features);
    native_connection_publish(&call);
    native_connection_kick(connection);
    while (!error && !call.is_done) {
        (void)native_connection_collect(connection, note_done, NULL);
        if (!call.is_done && !native_ring_want_signal(&connection->ring))
            error = native_connection_sleep(connection, end_ns);
    }
    if (error)
        native_connection_fail(connection, error, note_done, NULL);
    error = native_call_finish(&call, connection->buffers.base);
    native_connection_release(&call);
    if (!error && request.status)
        return (int)request.status;
    return !error && le32toh(request.result.output_bytes) < sizeof(info) ? -EPROTO : error;
}

/* As the back-end knows it, who need not know where anything lies in this process. */
static uint64_t shared_address(const struct native_connection *connection, const volatile void *at)
{
    return NATIVE_GPA + (uint64_t)((const volatile uint8_t *)at - connection->buffers.base);
}

static int start(struct native_connection *connection)
{
    size_t ring_bytes = native_ring_bytes(NATIVE_RING_SIZE);
    int error = native_buffers_open(&connection->buffers, ring_bytes);
    struct vhost_user_memory memory = {
        .fd = connection->buffers.fd,
        .gpa = NATIVE_GPA,
        .uva = NATIVE_GPA,
        .size_bytes = connection->buffers.size_bytes,
    };

    if (error)
        return error;
    connection->kick_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    connection->call_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    connection->err_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (connection->kick_fd < 0 || connection->call_fd < 0 || connection->err_fd < 0)
        return -errno;
    native_ring_init(&connection->ring, connection->buffers.base, NATIVE_RING_SIZE,
                     connection->front_end.features >> VIRTIO_RING_F_EVENT_IDX & 1);
    return vhost_user_start(&connection->front_end, &memory,
                            &(struct vhost_user_ring){
                                .size = NATIVE_RING_SIZE,
                                .desc_uva = shared_address(connection, connection->ring.desc),
                                .avail_uva = shared_address(connection, connection->ring.avail),
                                .used_uva = shared_address(connection, connection->ring.used),
                                .kick_fd = connection->kick_fd,
                                .call_fd = connection->call_fd,
                                .err_fd = connection->err_fd,
                            });
}

int native_connection_open(const char *path, struct native_connection **connection)
{
    struct native_connection *opened = calloc(1, sizeof(*opened));
    int error;

    *connection = NULL;
    if (!opened)
        return -ENOMEM;
    opened->references = 1;
    opened->kick_fd = opened->call_fd = opened->err_fd = opened->buffers.fd = -1;
    error = vhost_user_connect(&opened->front_end, path);
    if (!error)
        error = start(opened);
    if (!error)
        error = hello(opened);
    if (error) {
        native_connection_put(opened, false);
        return error;
    }
    *connection = opened;
    return 0;
}
