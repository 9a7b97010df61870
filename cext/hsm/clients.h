/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who may have what signed: the channels of workers, the keys that each may use, and what they have asked for. A
 * channel that has as much under way as its window is not read further, and each has its turn: nobody's queue holds up
 * another's.
 *
 * The main thread adds, reads and allows; any session thread takes work and gives it back. A key is looked up when its
 * turn comes, so what was taken away is not used any more, however long it had been waiting.
 */
#ifndef VKS_HSM_CLIENTS_H
#define VKS_HSM_CLIENTS_H

#include <poll.h>
#include <stdbool.h>
#include <stdint.h>

#include "ipc_hsm.h"
#include "ipc_socket.h"

struct client;

/* A message whose turn has come; its body is a copy of our own. */
struct client_work {
    struct client *client;
    struct client_work *next;
    struct vks_hsm_object object; /* of VKS_HSM_RUN; no bytes: the channel may not do that */
    uint64_t started_ns;
    struct vks_ipc_head head;
    uint32_t body_bytes;
    uint8_t body[];
};

/*
 * keystored's own requests have their turn as well, before everybody else's. A descriptor that is readable when a
 * window that was full is not any more, or -ENOMEM, -EMFILE.
 */
__attribute__((warn_unused_result)) int clients_open(int control_fd);
/* Takes *fd* in any case. 0, -EEXIST, -ENOMEM. */
__attribute__((warn_unused_result)) int clients_add(uint64_t id, int fd);
/* Nothing that waits is begun, and no answer goes out any more. 0 or -ENOENT. */
__attribute__((warn_unused_result)) int clients_close(uint64_t id);
/* 0, -ENOENT, -EINVAL: an object without a size that it may have; -ENOMEM. */
__attribute__((warn_unused_result)) int clients_allow(uint64_t id, uint32_t flags, const struct vks_hsm_key *keys,
                                                      uint32_t count);
/* Queue a request of keystored's. 0 or -ENOMEM. */
__attribute__((warn_unused_result)) int clients_ask(const struct vks_ipc_message *message);

/* The channels that are to be read, from *fds[*count]* on, in as much room as there must be. -ENOMEM. */
__attribute__((warn_unused_result)) int clients_poll(struct pollfd **fds, uint32_t first, uint32_t *count);
/* Read what has come; a channel that breaks the protocol, or whose other end is gone, is closed. */
void clients_receive(const struct pollfd *fds, uint32_t count, struct vks_ipc_message *message);
/* How long the work that was begun first has been under way, in ns; 0: none is. */
uint64_t clients_busy_ns(void);

/* Wait for work. */
struct client_work *clients_take(void);
/* Send the answer, if it is still wanted, and free the work. */
void clients_answer(struct client_work *work, const void *body, uint32_t body_bytes, const void *tail,
                    uint32_t tail_bytes);

#endif
