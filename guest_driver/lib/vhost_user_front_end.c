/* SPDX-License-Identifier: BSD-3-Clause */
/* Each message is sent whole and, where it has an answer, answered before the next one is sent. */
#define _GNU_SOURCE
#include <errno.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/un.h>
#include <unistd.h>

#include "vhost_user_front_end.h"

enum {
    GET_FEATURES = 1,
    SET_FEATURES = 2,
    SET_OWNER = 3,
    SET_MEM_TABLE = 5,
    SET_VRING_NUM = 8,
    SET_VRING_ADDR = 9,
    SET_VRING_BASE = 10,
    SET_VRING_KICK = 12,
    SET_VRING_CALL = 13,
    SET_VRING_ERR = 14,
    GET_PROTOCOL_FEATURES = 15,
    SET_PROTOCOL_FEATURES = 16,
    SET_VRING_ENABLE = 18,
};

enum {
    FLAG_VERSION = 1,
    FLAG_REPLY = 4,
    FLAG_NEED_REPLY = 8,
    F_PROTOCOL_FEATURES = 30,
    PROTOCOL_F_REPLY_ACK = 3,
};

#define MASK(bit) (UINT64_C(1) << (bit))
/* What the ring of this library can do. */
#define FEATURES (MASK(VIRTIO_F_VERSION_1) | MASK(VIRTIO_RING_F_EVENT_IDX) | MASK(F_PROTOCOL_FEATURES))

struct message {
    uint32_t request;
    uint32_t flags;
    uint32_t payload_bytes;
    union {
        uint64_t number;
        struct {
            uint32_t index, number;
        } ring;
        struct {
            uint32_t index, flags;
            uint64_t desc_uva, used_uva, avail_uva, log_gpa;
        } ring_address;
        struct {
            uint32_t region_count, padding;
            uint64_t gpa, size_bytes, uva, mmap_offset;
        } memory;
    } __attribute__((packed)) payload;
} __attribute__((packed));

#define HEADER_BYTES offsetof(struct message, payload)

static int socket_error(ssize_t size)
{
    if (size >= 0)
        return -EPROTO; /* less than a message: an honest peer takes and gives whole ones */
    return errno == EAGAIN || errno == EWOULDBLOCK ? -ETIMEDOUT : -errno;
}

/* @fd: sent along, or -1. */
static int send_message(const struct vhost_user_front_end *front_end, const struct message *message, int fd)
{
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(sizeof(int))];
    } control = {0};
    struct iovec piece = {(void *)(uintptr_t)message, HEADER_BYTES + message->payload_bytes};
    struct msghdr header = {.msg_iov = &piece, .msg_iovlen = 1};
    ssize_t sent;

    if (fd >= 0) {
        header.msg_control = &control;
        header.msg_controllen = sizeof(control);
        control.header = (struct cmsghdr){CMSG_LEN(sizeof(int)), SOL_SOCKET, SCM_RIGHTS};
        memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
    }
    do
        sent = sendmsg(front_end->fd, &header, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent == (ssize_t)piece.iov_len ? 0 : socket_error(sent);
}

static int receive_bytes(const struct vhost_user_front_end *front_end, void *to, size_t wanted)
{
    for (size_t got = 0; got < wanted;) {
        ssize_t size = recv(front_end->fd, (char *)to + got, wanted - got, 0);

        if (size < 0 && errno == EINTR)
            continue;
        if (size == 0)
            return -ECONNRESET;
        if (size < 0)
            return socket_error(size);
        got += (size_t)size;
    }
    return 0;
}

/* Every answer that this front-end asks for is one number. */
static int receive_number(const struct vhost_user_front_end *front_end, uint32_t request, uint64_t *number)
{
    struct message answer;
    int error = receive_bytes(front_end, &answer, HEADER_BYTES);

    if (error)
        return error;
    if (answer.request != request || answer.flags != (FLAG_VERSION | FLAG_REPLY) ||
        answer.payload_bytes != sizeof(*number))
        return -EPROTO;
    return receive_bytes(front_end, number, sizeof(*number));
}

static int ask(const struct vhost_user_front_end *front_end, uint32_t request, uint64_t *number)
{
    struct message message = {.request = request, .flags = FLAG_VERSION};
    int error = send_message(front_end, &message, -1);

    return error ? error : receive_number(front_end, request, number);
}

/* -EIO: the back-end could not do it. */
static int tell(const struct vhost_user_front_end *front_end, struct message *message, int fd)
{
    uint64_t refusal = 0;
    int error;

    message->flags = FLAG_VERSION | (front_end->is_acknowledged ? FLAG_NEED_REPLY : 0);
    error = send_message(front_end, message, fd);
    if (!error && front_end->is_acknowledged)
        error = receive_number(front_end, message->request, &refusal);
    return !error && refusal ? -EIO : error;
}

static int tell_number(const struct vhost_user_front_end *front_end, uint32_t request, uint64_t number, int fd)
{
    struct message message = {.request = request, .payload_bytes = sizeof(message.payload.number)};

    message.payload.number = number;
    return tell(front_end, &message, fd);
}

/* Of ring 0. */
static int tell_ring(const struct vhost_user_front_end *front_end, uint32_t request, uint32_t number)
{
    struct message message = {.request = request, .payload_bytes = sizeof(message.payload.ring)};

    message.payload.ring.number = number;
    return tell(front_end, &message, -1);
}

static int negotiate(struct vhost_user_front_end *front_end)
{
    struct message owner = {.request = SET_OWNER};
    uint64_t offered = 0, protocol = 0;
    int error = ask(front_end, GET_FEATURES, &offered);

    /* It hung up on a well-formed first message. */
    if (error == -ECONNRESET || error == -EPIPE)
        return -EBUSY;
    if (error)
        return error;
    front_end->features = offered & FEATURES;
    if (!(offered & MASK(VIRTIO_F_VERSION_1)) || !(offered & MASK(F_PROTOCOL_FEATURES)))
        return -EOPNOTSUPP;
    error = ask(front_end, GET_PROTOCOL_FEATURES, &protocol);
    if (!error)
        error = tell_number(front_end, SET_PROTOCOL_FEATURES, protocol & MASK(PROTOCOL_F_REPLY_ACK), -1);
    front_end->is_acknowledged = protocol & MASK(PROTOCOL_F_REPLY_ACK);
    if (!error)
        error = tell(front_end, &owner, -1);
    if (!error)
        error = tell_number(front_end, SET_FEATURES, front_end->features, -1);
    return error;
}

int vhost_user_connect(struct vhost_user_front_end *front_end, const char *path)
{
    struct timeval wait = {.tv_sec = VHOST_USER_WAIT_MS / 1000};
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    size_t length = strlen(path);
    int error = 0;

    *front_end = (struct vhost_user_front_end){.fd = -1};
    if (length >= sizeof(address.sun_path))
        return -ENAMETOOLONG;
    if (length == 0)
        return -ENOENT;
    memcpy(address.sun_path, path, length);
    front_end->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (front_end->fd < 0)
        return -errno;
    /* The first bounds connect() too. */
    if (setsockopt(front_end->fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) ||
        setsockopt(front_end->fd, SOL_SOCKET, SO_RCVTIMEO, &wait, sizeof(wait)) ||
        connect(front_end->fd, (const struct sockaddr *)&address, sizeof(address)))
        error = socket_error(-1);
    if (!error)
        error = negotiate(front_end);
    if (error)
        vhost_user_close(front_end);
    return error;
}

int vhost_user_start(const struct vhost_user_front_end *front_end, const struct vhost_user_memory *memory,
                     const struct vhost_user_ring *ring)
{
    struct message table = {.request = SET_MEM_TABLE, .payload_bytes = sizeof(table.payload.memory)};
    struct message address = {.request = SET_VRING_ADDR, .payload_bytes = sizeof(address.payload.ring_address)};
    uint64_t features;
    int error;

    table.payload.memory.region_count = 1;
    table.payload.memory.gpa = memory->gpa;
    table.payload.memory.size_bytes = memory->size_bytes;
    table.payload.memory.uva = memory->uva;
    address.payload.ring_address.desc_uva = ring->desc_uva;
    address.payload.ring_address.used_uva = ring->used_uva;
    address.payload.ring_address.avail_uva = ring->avail_uva;
    error = tell(front_end, &table, memory->fd);
    if (!error)
        error = tell_number(front_end, SET_VRING_CALL, 0, ring->call_fd);
    if (!error)
        error = tell_number(front_end, SET_VRING_ERR, 0, ring->err_fd);
    if (!error)
        error = tell_ring(front_end, SET_VRING_NUM, ring->size);
    if (!error)
        error = tell_ring(front_end, SET_VRING_BASE, 0);
    if (!error)
        error = tell(front_end, &address, -1);
    if (!error)
        error = tell_number(front_end, SET_VRING_KICK, 0, ring->kick_fd);
    if (!error)
        error = tell_ring(front_end, SET_VRING_ENABLE, 1);
    /* Messages are served in turn: what went before is done once this is answered. */
    return error ? error : ask(front_end, GET_FEATURES, &features);
}

bool vhost_user_is_gone(const struct vhost_user_front_end *front_end)
{
    char byte;
    ssize_t size = recv(front_end->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT);

    return size >= 0 || (errno != EAGAIN && errno != EWOULDBLOCK && errno != EINTR);
}

void vhost_user_hang_up(const struct vhost_user_front_end *front_end)
{
    if (front_end->fd >= 0)
        (void)shutdown(front_end->fd, SHUT_RDWR);
}

void vhost_user_close(struct vhost_user_front_end *front_end)
{
    if (front_end->fd >= 0)
        close(front_end->fd);
    front_end->fd = -1;
}
