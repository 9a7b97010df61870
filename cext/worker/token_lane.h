/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Requests that wait for a token: vks-hsm has what is to be signed or decrypted, the lane keeps what an answer takes.
 * No thread: the fast lane sends and receives, and waits for nothing.
 *
 *   FREE -> TAKEN -> AWAY -> DONE -> FREE
 *             `--> FREE (it came to something else)
 */
#ifndef VKS_WORKER_TOKEN_LANE_H
#define VKS_WORKER_TOKEN_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc_hsm.h"
#include "ipc_socket.h"
#include "job.h"

enum token_state {
    TOKEN_FREE,
    TOKEN_TAKEN, /* kept for a request that is not sent yet */
    TOKEN_AWAY,
    TOKEN_DONE,
};

struct token_job {
    struct job job;
    uint64_t tag; /* of the message that is away */
    enum token_state state;
};

struct token_lane {
    int fd; /* to vks-hsm; -1: it cannot be asked */
    uint64_t last_tag;
    struct token_job slot[VKS_HSM_WINDOW];
};

/* It cannot be asked yet. */
void token_lane_open(struct token_lane *lane);
/* A slot for a request to come, or NULL. */
struct token_job *token_lane_take(struct token_lane *lane);
bool token_lane_has(const struct token_lane *lane, enum token_state state);
/* Give a slot back; NULL is well. */
void token_lane_release(struct token_job *slot);
/*
 * Send what a *job* came to that has VKS_OPERATION_IN_TOKEN, and keep the rest of it in *slot*. What cannot be sent is
 * done at once, as UNAVAILABLE.
 */
void token_lane_send(struct token_lane *lane, struct token_job *slot, const struct job *job);
/* Take the answers that have come. What is away when the other side is gone, or breaks the protocol, is UNAVAILABLE. */
void token_lane_receive(struct token_lane *lane, struct vks_ipc_message *message);
/* Another channel, which is the lane's from here on. */
void token_lane_connect(struct token_lane *lane, int fd);
/* One that is done, or NULL. */
struct token_job *token_lane_done(struct token_lane *lane);

#endif
