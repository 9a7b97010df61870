/* SPDX-License-Identifier: Apache-2.0 */
/* Messages of the wrong type, size or number of descriptors end the connection and leak nothing. */
#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "check.h"
#include "ipc_socket.h"

static struct vks_ipc_message message;
static int pair[2];

static int open_fds(void)
{
    DIR *directory = opendir("/proc/self/fd");
    int count = 0;

    CHECK("proc", directory != NULL);
    while (readdir(directory))
        count++;
    closedir(directory);
    return count;
}

/* A packet exactly as given: no rule of the sender's library gets in the way. */
static void send_raw(const void *bytes, size_t size_bytes, uint32_t fd_count)
{
    union {
        struct cmsghdr align;
        uint8_t bytes[CMSG_SPACE(64 * sizeof(int))];
    } control = {0};
    struct iovec data = {(void *)(uintptr_t)bytes, size_bytes};
    struct msghdr packet = {.msg_iov = &data, .msg_iovlen = 1};
    int fds[64];

    for (uint32_t i = 0; i < 64; i++)
        fds[i] = pair[0];
    if (fd_count) {
        packet.msg_control = &control;
        packet.msg_controllen = CMSG_SPACE(fd_count * sizeof(int));
        CMSG_FIRSTHDR(&packet)->cmsg_level = SOL_SOCKET;
        CMSG_FIRSTHDR(&packet)->cmsg_type = SCM_RIGHTS;
        CMSG_FIRSTHDR(&packet)->cmsg_len = CMSG_LEN(fd_count * sizeof(int));
        memcpy(CMSG_DATA(CMSG_FIRSTHDR(&packet)), fds, fd_count * sizeof(int));
    }
    CHECK_EQUAL("send", sendmsg(pair[0], &packet, 0), (ssize_t)size_bytes);
}

static void test_hostile(void)
{
    static const struct {
        const char *name;
        uint32_t type, size_bytes, sent_bytes, fd_count;
        int want;
    } cases[] = {
        {"drained", VKS_WORKER_DRAINED, 24, 24, 0, 1},
        {"leased", VKS_WORKER_LEASED, 24, 24, 0, 1},
        {"ring start", VKS_WORKER_RING_START, 80, 80, 3, 1},
        {"ring start, kick only", VKS_WORKER_RING_START, 80, 80, 1, 1},
        {"ring start without a kick", VKS_WORKER_RING_START, 80, 80, 0, -EPROTO},
        {"ring start, a descriptor too many", VKS_WORKER_RING_START, 80, 80, 4, -EPROTO},
        {"a byte short", VKS_WORKER_RING_STOP, 31, 31, 0, -EPROTO},
        {"a byte long", VKS_WORKER_RING_STOP, 33, 33, 0, -EPROTO},
        {"announces less than it is", VKS_WORKER_RING_STOP, 32, 40, 0, -EPROTO},
        {"announces more than it is", VKS_WORKER_RING_STOP, 40, 32, 0, -EPROTO},
        {"half a head", VKS_WORKER_DRAINED, 24, 12, 0, -EPROTO},
        {"unknown type", 0x1ff, 24, 24, 0, -EPROTO},
        {"a reply", VKS_WORKER_RING_STOP | VKS_IPC_REPLY, 32, 32, 0, -EPROTO},
        {"unasked descriptor", VKS_WORKER_DRAINED, 24, 24, 1, -EPROTO},
        {"more descriptors than any message has", VKS_WORKER_MEM_TABLE, 1056, 1056, 40, -EPROTO},
        {"as many as a message may have", VKS_WORKER_MEM_TABLE, 1056, 1056, 32, 1},
        {"bytes behind a structure that announces them", VKS_CUSTODIAN_LOAD, 100, 100, 0, 1},
        {"and fewer than the structure", VKS_CUSTODIAN_LOAD, 47, 47, 0, -EPROTO},
    };
    static _Alignas(8) uint8_t packet[4096];
    int before = open_fds();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vks_ipc_head head = {.type = cases[i].type, .size_bytes = cases[i].size_bytes, .tag = i};

        memcpy(packet, &head, sizeof(head));
        send_raw(packet, cases[i].sent_bytes, cases[i].fd_count);
        CHECK_EQUAL(cases[i].name, vks_ipc_receive(pair[1], &message, VKS_IPC_NOWAIT), cases[i].want);
        CHECK_EQUAL(cases[i].name, message.fd_count, cases[i].want == 1 ? cases[i].fd_count : 0);
        for (uint32_t j = 0; j < message.fd_count; j++)
            CHECK_EQUAL(cases[i].name, fcntl(message.fds[j], F_GETFD), FD_CLOEXEC);
        vks_ipc_close_fds(&message);
        CHECK_EQUAL(cases[i].name, open_fds(), before);
    }
}

static void test_too_large(void)
{
    static _Alignas(8) uint8_t packet[VKS_IPC_BYTES_MAX + 8];
    struct vks_ipc_head head = {.type = VKS_CUSTODIAN_LOAD, .size_bytes = VKS_IPC_BYTES_MAX};

    memcpy(packet, &head, sizeof(head));
    send_raw(packet, sizeof(packet), 0);
    CHECK_EQUAL("cut short", vks_ipc_receive(pair[1], &message, 0), -EPROTO);
    send_raw(packet, VKS_IPC_BYTES_MAX, 0);
    CHECK_EQUAL("largest", vks_ipc_receive(pair[1], &message, 0), 1);
    CHECK_EQUAL("largest", vks_ipc_body_bytes(&message), VKS_IPC_BYTES_MAX - 24);
}

static void test_send(void)
{
    struct vks_ipc_head head = {.type = VKS_KEYS, .tag = 7};
    struct vks_keys keys = {.load_id = 9};
    struct vks_ipc_part parts[5] = {{&keys, sizeof(keys)}};
    int taken;

    CHECK_EQUAL("send", vks_ipc_send(pair[0], &head, parts, 1, &pair[0], 1), 0);
    CHECK_EQUAL("receive", vks_ipc_receive(pair[1], &message, 0), 1);
    CHECK("body", memcmp(vks_ipc_body(&message), &keys, sizeof(keys)) == 0);
    taken = vks_ipc_take_fd(&message, 0);
    CHECK("taken", taken >= 0 && vks_ipc_take_fd(&message, 0) == -1 && vks_ipc_take_fd(&message, 1) == -1);
    vks_ipc_close_fds(&message);
    CHECK_EQUAL("a taken descriptor stays open", close(taken), 0);
    CHECK_EQUAL("too many parts", vks_ipc_send(pair[0], &head, parts, 5, NULL, 0), -EINVAL);
    parts[1] = (struct vks_ipc_part){&keys, UINT32_MAX};
    CHECK_EQUAL("too many bytes", vks_ipc_send(pair[0], &head, parts, 2, NULL, 0), -EMSGSIZE);
    CHECK_EQUAL("nothing there", vks_ipc_receive(pair[1], &message, VKS_IPC_NOWAIT), -EAGAIN);
    close(pair[0]);
    CHECK_EQUAL("gone", vks_ipc_receive(pair[1], &message, 0), 0);
    CHECK_EQUAL("gone", vks_ipc_reply(pair[1], &head, 0, NULL, 0), -EPIPE);
}

/* The kernel tells of the other side's unread mail first, and of its last words only after that. */
static void test_last_words(void)
{
    struct vks_ipc_head head = {.type = VKS_WORKER_DRAINED, .size_bytes = 24, .tag = 9};

    CHECK("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    CHECK_EQUAL("an answer that nobody reads", vks_ipc_reply(pair[1], &head, 0, NULL, 0), 0);
    send_raw(&head, sizeof(head), 0);
    close(pair[0]);
    CHECK_EQUAL("last words", vks_ipc_receive(pair[1], &message, 0), 1);
    CHECK_EQUAL("last words", message.head.tag, 9);
    CHECK_EQUAL("gone", vks_ipc_receive(pair[1], &message, 0), 0);
    close(pair[1]);
}

int main(void)
{
    CHECK("socketpair", socketpair(AF_UNIX, SOCK_SEQPACKET, 0, pair) == 0);
    test_hostile();
    test_too_large();
    test_send();
    test_last_words();
    return 0;
}
