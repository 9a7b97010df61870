/* SPDX-License-Identifier: Apache-2.0 */
/* One packet, one message: sizes and descriptor counts are settled here, before anybody reads a field. */
#define _GNU_SOURCE
#include "ipc_socket.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc_hsm.h"
#include "ipc_order.h"

enum {
    PARTS_MAX = 4,
};

static const struct shape {
    uint32_t type;
    uint32_t body_bytes;
    uint8_t more; /* 1: the structure announces further bytes */
    uint8_t fds_min;
    uint8_t fds_max;
} shapes[] = {
    {VKS_WORKER_MEM_TABLE, sizeof(struct vks_worker_mem_table), 0, 0, VKS_IPC_REGIONS_MAX},
    {VKS_WORKER_RING_START, sizeof(struct vks_worker_ring_start), 0, 1, 3},
    {VKS_WORKER_RING_STOP, sizeof(struct vks_worker_ring), 0, 0, 0},
    {VKS_WORKER_RING_CALL, sizeof(struct vks_worker_ring), 0, 0, 1},
    {VKS_WORKER_RING_KICK, sizeof(struct vks_worker_ring), 0, 1, 1},
    {VKS_WORKER_RING_ERR, sizeof(struct vks_worker_ring), 0, 0, 1},
    {VKS_WORKER_SNAPSHOT, sizeof(struct vks_worker_snapshot), 0, 1, 1},
    {VKS_WORKER_DRAINED, 0, 0, 0, 0},
    {VKS_WORKER_LEASED, 0, 0, 0, 0},
    {VKS_WORKER_TOKEN, 0, 0, 1, 1},
    {VKS_WORKER_ORDERED, sizeof(struct vks_worker_ordered), 0, 0, 0},
    {VKS_WORKER_KEYS_FILLED, 0, 0, 0, 0},
    {VKS_KEYS, sizeof(struct vks_keys), 0, 1, 1},
    {VKS_CUSTODIAN_STATUS, 0, 0, 0, 0},
    {VKS_CUSTODIAN_ROOT_OPEN, sizeof(struct vks_custodian_root), 1, 1, 2},
    {VKS_CUSTODIAN_GENERATE, sizeof(struct vks_custodian_generate), 0, 0, 0},
    {VKS_CUSTODIAN_OFFER, 0, 0, 0, 0},
    {VKS_CUSTODIAN_IMPORT, sizeof(struct vks_custodian_import), 1, 0, 0},
    {VKS_CUSTODIAN_CHANNEL, sizeof(struct vks_custodian_channel), 0, 1, 1},
    {VKS_CUSTODIAN_CHANNEL_CLOSE, sizeof(struct vks_custodian_channel), 0, 0, 0},
    {VKS_CUSTODIAN_LOAD, sizeof(struct vks_custodian_load), 1, 0, 0},
    {VKS_CUSTODIAN_AUDIT_KEY, 0, 0, 0, 0},
    {VKS_CUSTODIAN_AUDIT_SIGN, sizeof(struct vks_custodian_audit_sign), 1, 0, 0},
    {VKS_CUSTODIAN_ROOT_CHANGE, sizeof(struct vks_custodian_root_change), 1, 1, 2},
    {VKS_CUSTODIAN_RESEAL, sizeof(struct vks_custodian_reseal), 1, 0, 0},
    {VKS_CUSTODIAN_ROOT_SWITCH, 0, 0, 0, 0},
    {VKS_CUSTODIAN_ROOT_EXPORT, sizeof(struct vks_custodian_offer), 0, 0, 0},
    {VKS_CUSTODIAN_RSA_OFFER, 0, 0, 0, 0},
    {VKS_CUSTODIAN_IMPORT_RSA, sizeof(struct vks_custodian_import_rsa), 1, 0, 0},
    {VKS_CUSTODIAN_CERTIFY, sizeof(struct vks_custodian_certify), 1, 0, 0},
    {VKS_CUSTODIAN_ENROLL, sizeof(struct vks_custodian_enroll), 1, 0, 0},
    {VKS_ZYGOTE_SPAWN, sizeof(struct vks_zygote_spawn), 0, 3, 4},
    {VKS_HOLDER_KEEP, sizeof(struct vks_holder_name), 0, 1, 1},
    {VKS_HOLDER_DROP, sizeof(struct vks_holder_name), 0, 0, 0},
    {VKS_HOLDER_LIST, sizeof(struct vks_holder_index), 0, 0, 0},
    {VKS_HOLDER_END, 0, 0, 0, 0},
    {VKS_HANDLER_RUN, sizeof(struct vks_handler_run), 1, 0, 0},
    {VKS_HSM_OPEN, sizeof(struct vks_hsm_open), 1, 1, 1},
    {VKS_HSM_CHANNEL, sizeof(struct vks_hsm_channel), 0, 1, 1},
    {VKS_HSM_CLOSE, sizeof(struct vks_hsm_channel), 0, 0, 0},
    {VKS_HSM_ALLOW, sizeof(struct vks_hsm_allow), 1, 0, 0},
    {VKS_HSM_GENERATE, sizeof(struct vks_hsm_generate), 0, 0, 0},
    {VKS_HSM_FIND, sizeof(struct vks_hsm_find), 0, 0, 0},
    {VKS_HSM_RUN, sizeof(struct vks_hsm_run), 1, 0, 0},
    {VKS_HSM_RUN | VKS_IPC_REPLY, sizeof(struct vks_hsm_result), 1, 0, 0},
};

static int message_check(const struct vks_ipc_message *message, size_t size_bytes)
{
    if (size_bytes < sizeof(message->head) || message->head.size_bytes != size_bytes)
        return -EPROTO;
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        const struct shape *shape = &shapes[i];
        size_t fixed_bytes = sizeof(message->head) + shape->body_bytes;

        if (shape->type != message->head.type)
            continue;
        if (shape->more ? size_bytes < fixed_bytes : size_bytes != fixed_bytes)
            return -EPROTO;
        return message->fd_count < shape->fds_min || message->fd_count > shape->fds_max ? -EPROTO : 0;
    }
    return -EPROTO;
}

/* Every descriptor that arrived is either in the list or closed. */
static int collect_fds(struct vks_ipc_message *message, struct msghdr *packet)
{
    int error = packet->msg_flags & (MSG_TRUNC | MSG_CTRUNC) ? -EPROTO : 0;

    for (struct cmsghdr *control = CMSG_FIRSTHDR(packet); control; control = CMSG_NXTHDR(packet, control)) {
        size_t count = (control->cmsg_len - CMSG_LEN(0)) / sizeof(int);

        if (control->cmsg_level != SOL_SOCKET || control->cmsg_type != SCM_RIGHTS)
            continue;
        for (size_t i = 0; i < count; i++) {
            int fd;

            memcpy(&fd, CMSG_DATA(control) + i * sizeof(int), sizeof(int));
            if (message->fd_count < VKS_IPC_FDS_MAX) {
                message->fds[message->fd_count++] = fd;
            } else {
                close(fd);
                error = -EPROTO;
            }
        }
    }
    return error;
}

int vks_ipc_receive(int fd, struct vks_ipc_message *message, int flags)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(VKS_IPC_FDS_MAX * sizeof(int))];
    } control;
    struct iovec data = {message->bytes, sizeof(message->bytes)};
    struct msghdr packet = {
        .msg_iov = &data, .msg_iovlen = 1, .msg_control = &control, .msg_controllen = sizeof(control)};
    ssize_t size_bytes;
    int error;

    message->fd_count = 0;
    /* ECONNRESET, told once: the other side is gone and has left answers unread. What it had sent is still here. */
    do
        size_bytes = recvmsg(fd, &packet, MSG_CMSG_CLOEXEC | (flags & VKS_IPC_NOWAIT ? MSG_DONTWAIT : 0));
    while (size_bytes < 0 && (errno == EINTR || errno == ECONNRESET));
    if (size_bytes < 0)
        return -errno;
    error = collect_fds(message, &packet);
    if (size_bytes == 0 && !error && message->fd_count == 0)
        return 0;
    if (!error)
        error = message_check(message, (size_t)size_bytes);
    if (error) {
        vks_ipc_close_fds(message);
        return error;
    }
    return 1;
}

const void *vks_ipc_body(const struct vks_ipc_message *message)
{
    return message->bytes + sizeof(message->head);
}

uint32_t vks_ipc_body_bytes(const struct vks_ipc_message *message)
{
    return message->head.size_bytes - (uint32_t)sizeof(message->head);
}

int vks_ipc_take_fd(struct vks_ipc_message *message, uint32_t index)
{
    int fd;

    if (index >= message->fd_count)
        return -1;
    fd = message->fds[index];
    message->fds[index] = -1;
    return fd;
}

void vks_ipc_close_fds(struct vks_ipc_message *message)
{
    for (uint32_t i = 0; i < message->fd_count; i++)
        if (message->fds[i] >= 0)
            close(message->fds[i]);
    message->fd_count = 0;
}

int vks_ipc_send(int fd, struct vks_ipc_head *head, const struct vks_ipc_part *parts, uint32_t part_count,
                 const int *fds, uint32_t fd_count)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(VKS_IPC_FDS_MAX * sizeof(int))];
    } control = {0};
    struct iovec data[PARTS_MAX + 1] = {{head, sizeof(*head)}};
    struct msghdr packet = {.msg_iov = data, .msg_iovlen = part_count + 1};
    ssize_t sent;

    if (part_count > PARTS_MAX || fd_count > VKS_IPC_FDS_MAX)
        return -EINVAL;
    head->size_bytes = sizeof(*head);
    for (uint32_t i = 0; i < part_count; i++) {
        if (parts[i].size_bytes > VKS_IPC_BYTES_MAX - head->size_bytes)
            return -EMSGSIZE;
        head->size_bytes += parts[i].size_bytes;
        data[i + 1] = (struct iovec){(void *)(uintptr_t)parts[i].bytes, parts[i].size_bytes};
    }
    if (fd_count) {
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        CMSG_FIRSTHDR(&packet)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(&packet)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(&packet)->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)), fds, fd_count * sizeof(int));
    }
    do
        sent = sendmsg(fd, &packet, MSG_NOSIGNAL);
    while (sent < 0 && errno == EINTR);
    return sent < 0 ? -errno : 0;
}

int vks_ipc_reply(int fd, const struct vks_ipc_head *request, int error, const void *body, uint32_t body_bytes)
{
    struct vks_ipc_head head = {.type = request->type | VKS_IPC_REPLY, .tag = request->tag, .error = error};
    struct vks_ipc_part part = {body, body_bytes};

    return vks_ipc_send(fd, &head, &part, !error && body_bytes ? 1 : 0, NULL, 0);
}
