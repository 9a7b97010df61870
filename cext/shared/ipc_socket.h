/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sending and receiving the messages of ipc.h, with descriptors. The receiver knows the requests only: our C programs
 * answer, they never ask.
 */
#ifndef VKS_IPC_SOCKET_H
#define VKS_IPC_SOCKET_H

#include <stdint.h>

#include "ipc.h"

struct vks_ipc_message {
    union {
        struct vks_ipc_head head;
        uint8_t bytes[VKS_IPC_BYTES_MAX];
    };
    int fds[VKS_IPC_FDS_MAX]; /* close-on-exec; -1 once taken */
    uint32_t fd_count;
};

/*
 * Wait for and take one message; VKS_IPC_NOWAIT does not wait. 1, 0 when the other side is gone, -EAGAIN, or -EPROTO: a
 * message of unknown type, wrong size, cut short, or with a number of descriptors its type does not have (all closed).
 * The sizes of structures that announce further bytes are minima here; the rest is the caller's to check.
 */
__attribute__((warn_unused_result)) int vks_ipc_receive(int fd, struct vks_ipc_message *message, int flags);
enum vks_ipc_receive_flag {
    VKS_IPC_NOWAIT = 0x1,
};

/* The structure behind the head, as large as its type says. */
const void *vks_ipc_body(const struct vks_ipc_message *message);
/* Bytes behind the head. */
uint32_t vks_ipc_body_bytes(const struct vks_ipc_message *message);
/* Make descriptor *index* the caller's; -1 where there is none. */
int vks_ipc_take_fd(struct vks_ipc_message *message, uint32_t index);
/* Close the descriptors that nobody took. */
void vks_ipc_close_fds(struct vks_ipc_message *message);

/*
 * Send one message: *head* with its size filled in here, *body*, then *tail* bytes. The descriptors stay the caller's.
 * 0 or a negative errno; a peer that is gone gives -EPIPE, no signal.
 */
struct vks_ipc_part {
    const void *bytes;
    uint32_t size_bytes;
};
__attribute__((warn_unused_result)) int vks_ipc_send(int fd, struct vks_ipc_head *head,
                                                     const struct vks_ipc_part *parts, uint32_t part_count,
                                                     const int *fds, uint32_t fd_count);
/* Answer *request* with *error* and, if it is 0, *body*. */
__attribute__((warn_unused_result)) int vks_ipc_reply(int fd, const struct vks_ipc_head *request, int error,
                                                      const void *body, uint32_t body_bytes);

#endif
