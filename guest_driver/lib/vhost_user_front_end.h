/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The few messages by which a front-end shares one region of memory with a back-end and starts one ring in it
 * (docs/interop/vhost-user.rst of QEMU).
 *
 * Knows sockets and messages; must not know what is in the ring. Functions return 0 or a negative errno.
 */
#ifndef VKS_VHOST_USER_FRONT_END_H
#define VKS_VHOST_USER_FRONT_END_H

#include <stdbool.h>
#include <stdint.h>

#include "vks.h"

#define VHOST_USER_WAIT_MS 10000 /* for the back-end to take a connection, and for each answer */

struct vhost_user_front_end {
    int fd;
    bool is_acknowledged; /* VHOST_USER_PROTOCOL_F_REPLY_ACK: what can fail says so */
    uint64_t features;    /* virtio feature bits that both sides have */
};

/* Memory as both sides address it: @fd from its start on. */
struct vhost_user_memory {
    int fd;
    uint64_t gpa;
    uint64_t uva;
    uint64_t size_bytes;
};

struct vhost_user_ring {
    uint32_t size;
    uint64_t desc_uva;
    uint64_t avail_uva;
    uint64_t used_uva;
    int kick_fd;
    int call_fd;
    int err_fd;
};

/*
 * Connects and negotiates. -EBUSY: the back-end hung up before it answered, which is what it does while another
 * front-end lives; -EOPNOTSUPP: it lacks what this library needs; -ETIMEDOUT; -EPROTO; or errno of connect(2).
 */
VKS_MUST_CHECK int vhost_user_connect(struct vhost_user_front_end *front_end, const char *path);
/* @memory and the descriptors stay the caller's. */
VKS_MUST_CHECK int vhost_user_start(const struct vhost_user_front_end *front_end,
                                    const struct vhost_user_memory *memory, const struct vhost_user_ring *ring);
/* Has the back-end hung up? What it says unasked is taken for that as well: nothing of the kind was negotiated. */
VKS_MUST_CHECK bool vhost_user_is_gone(const struct vhost_user_front_end *front_end);
/* Hangs up for every process that has the descriptor. */
void vhost_user_hang_up(const struct vhost_user_front_end *front_end);
/* Closes this process's descriptor. */
void vhost_user_close(struct vhost_user_front_end *front_end);

#endif
