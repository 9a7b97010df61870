/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-holder: keeps descriptors by name, so that keystored can die or be exchanged while guests work. It looks into
 * none of them and parses nothing but names.
 *
 * Descriptor 3 is a bound SOCK_SEQPACKET socket, whose file only keystored's user may write to: who connects is not
 * asked again (in a user namespace of our own the kernel could not say). One keystored at a time connects; when it is
 * gone, the next one is waited for, unless there is nothing to be kept for it.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "holder_calls.h"
#include "ipc_socket.h"
#include "sandbox.h"

enum {
    LISTEN_FD = 3,
    BACKLOG = 4,
    HELD_MAX = 1 << 15,
    DESCRIPTORS_MAX = HELD_MAX + 64,
};

static struct held {
    struct vks_holder_name name;
    int fd;
} held[HELD_MAX];
static uint32_t held_count;
static struct vks_ipc_message message;

static uint32_t find(const struct vks_holder_name *name)
{
    uint32_t i = 0;

    while (i < held_count && memcmp(&held[i].name, name, sizeof(*name)) != 0)
        i++;
    return i;
}

static int on_keep(void)
{
    const struct vks_holder_name *name = vks_ipc_body(&message);

    if (find(name) < held_count)
        return -EEXIST;
    if (held_count == HELD_MAX)
        return -ENOSPC;
    held[held_count].name = *name;
    held[held_count++].fd = vks_ipc_take_fd(&message, 0);
    return 0;
}

static int on_drop(void)
{
    uint32_t i = find(vks_ipc_body(&message));

    if (i == held_count)
        return -ENOENT;
    close(held[i].fd);
    held[i] = held[--held_count];
    return 0;
}

static int answer_list(int client)
{
    const struct vks_holder_index *asked = vks_ipc_body(&message);
    struct vks_ipc_head head = {.type = VKS_HOLDER_LIST | VKS_IPC_REPLY, .tag = message.head.tag};
    struct vks_ipc_part part;

    if (asked->index >= held_count)
        return vks_ipc_reply(client, &message.head, -ENOENT, NULL, 0);
    part = (struct vks_ipc_part){&held[asked->index].name, sizeof(struct vks_holder_name)};
    return vks_ipc_send(client, &head, &part, 1, &held[asked->index].fd, 1);
}

/* False when this keystored is to be talked to no more. */
static bool serve(int client)
{
    int error;

    if (vks_ipc_receive(client, &message, 0) != 1)
        return false;
    switch (message.head.type) {
    case VKS_HOLDER_KEEP:
        error = vks_ipc_reply(client, &message.head, on_keep(), NULL, 0);
        break;
    case VKS_HOLDER_DROP:
        error = vks_ipc_reply(client, &message.head, on_drop(), NULL, 0);
        break;
    case VKS_HOLDER_LIST:
        error = answer_list(client);
        break;
    case VKS_HOLDER_END:
        (void)!vks_ipc_reply(client, &message.head, 0, NULL, 0);
        _exit(0);
    default:
        error = -EPROTO;
    }
    vks_ipc_close_fds(&message);
    /* Who died before it read an answer may have asked for more: all of that counts. */
    return error == 0 || error == -EPIPE || error == -ECONNRESET;
}

static int set_up(uint32_t keeper)
{
    struct vks_sandbox_report report = {0};
    struct vks_sandbox_limits limits = {.descriptors = DESCRIPTORS_MAX, .file_bytes = 0};
    struct rlimit limit;
    int error;

    /* Interrupts from a terminal are keystored's to handle. */
    signal(SIGINT, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    /* Here, so that the other side can ask the kernel which process this is. */
    if (listen(LISTEN_FD, BACKLOG) != 0)
        return -errno;
    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -errno;
    if (limit.rlim_max < limits.descriptors)
        limits.descriptors = (uint32_t)limit.rlim_max;
    error = holder_calls_build();
    if (!error)
        error = vks_sandbox_confine(keeper, &report);
    if (error)
        return error;
    /* It outlives the keystored that started it, and must not keep that one's log open: stdin is /dev/null. */
    if (dup2(STDIN_FILENO, STDOUT_FILENO) < 0 || dup2(STDIN_FILENO, STDERR_FILENO) < 0)
        return -errno;
    return vks_sandbox_seal(&limits, &holder_calls, &report);
}

int main(int argc, char **argv)
{
    int error = set_up(vks_sandbox_keeper(argc, argv));
    int client = -1;

    if (error) {
        fprintf(stderr, "vks-holder: cannot set up: %s\n", strerror(-error));
        return 1;
    }
    for (;;) {
        struct pollfd ready = {.fd = client < 0 ? LISTEN_FD : client, .events = POLLIN};

        if (poll(&ready, 1, -1) < 0 && errno != EINTR)
            return 1;
        if (!ready.revents)
            continue;
        if (client < 0) {
            client = accept4(LISTEN_FD, NULL, NULL, SOCK_CLOEXEC);
        } else if (!serve(client)) {
            close(client);
            client = -1;
            if (held_count == 0)
                return 0;
        }
    }
}
