/* SPDX-License-Identifier: Apache-2.0 */
/* The socket's mode keeps others away already; who may ask us to make processes is not left to that alone. */
#define _GNU_SOURCE
#include "activation.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <unistd.h>

#include "ipc_socket.h"

static bool is_activated(void)
{
    const char *pid = getenv("LISTEN_PID");

    return pid != NULL && strtol(pid, NULL, 10) == getpid();
}

int vks_activation_greet(int control_fd, uint32_t user)
{
    struct vks_program_started started = {.pid = getpid()};
    struct vks_ipc_head head = {.type = VKS_PROGRAM_STARTED};
    struct vks_ipc_part part = {&started, sizeof(started)};
    struct ucred peer;
    socklen_t size_bytes = sizeof(peer);
    int pidfd, error;

    if (!is_activated())
        return 0;
    if (getsockopt(control_fd, SOL_SOCKET, SO_PEERCRED, &peer, &size_bytes) != 0)
        return -errno;
    if (peer.uid != user)
        return -EPERM;
    pidfd = pidfd_open(started.pid, 0);
    if (pidfd < 0)
        return -errno;
    error = vks_ipc_send(control_fd, &head, &part, 1, &pidfd, 1);
    close(pidfd);
    return error;
}
