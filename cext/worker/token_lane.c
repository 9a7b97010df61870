/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to vks-hsm and back. Knows what goes there and what may come back; must not know which token that is. */
#include "token_lane.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

void token_lane_open(struct token_lane *lane)
{
    lane->fd = -1;
}

static int index_of(const struct token_lane *lane, enum token_state state)
{
    for (int i = 0; i < VKS_HSM_WINDOW; i++)
        if (lane->slot[i].state == state)
            return i;
    return -1;
}

static struct token_job *find(struct token_lane *lane, enum token_state state)
{
    int index = index_of(lane, state);

    return index < 0 ? NULL : &lane->slot[index];
}

bool token_lane_has(const struct token_lane *lane, enum token_state state)
{
    return index_of(lane, state) >= 0;
}

struct token_job *token_lane_take(struct token_lane *lane)
{
    struct token_job *slot = find(lane, TOKEN_FREE);

    if (!slot)
        return NULL;
    job_prepare(&slot->job, VKS_DESCRIPTORS_MAX, VKS_HSM_OUTPUT_BYTES_MAX);
    slot->state = TOKEN_TAKEN;
    return slot;
}

void token_lane_release(struct token_job *slot)
{
    if (!slot)
        return;
    job_wipe_output(&slot->job);
    slot->state = TOKEN_FREE;
}

struct token_job *token_lane_done(struct token_lane *lane)
{
    return find(lane, TOKEN_DONE);
}

static void finish(struct token_job *slot, uint32_t status)
{
    slot->job.status = status;
    slot->state = TOKEN_DONE;
}

static void disconnect(struct token_lane *lane)
{
    struct token_job *slot;

    if (lane->fd >= 0)
        close(lane->fd);
    lane->fd = -1;
    while ((slot = find(lane, TOKEN_AWAY)) != NULL)
        finish(slot, VKS_STATUS_UNAVAILABLE);
}

void token_lane_connect(struct token_lane *lane, int fd)
{
    disconnect(lane);
    lane->fd = fd;
}

void token_lane_send(struct token_lane *lane, struct token_job *slot, const struct job *job)
{
    const struct request *request = &job->request;
    bool decrypts = request->op == VKS_OP_DECRYPT;
    struct vks_ipc_head head = {.type = VKS_HSM_RUN};
    struct vks_hsm_run run = {.version = job->key_version,
                              .op = request->op,
                              .mechanism = job->mechanism,
                              .label_bytes = decrypts ? request->parameter_bytes : 0,
                              .input_bytes = decrypts ? request->input_bytes : job->output_bytes};
    struct vks_ipc_part parts[] = {{&run, sizeof(run)}, {job->output, job->output_bytes}};

    if (decrypts)
        parts[1] = (struct vks_ipc_part){job->input, request_payload_bytes(request)};
    memcpy(run.key_id, request->key_id, sizeof(run.key_id));
    job_move(&slot->job, job);
    slot->job.key = NULL;
    slot->job.output_bytes = 0;
    slot->tag = head.tag = ++lane->last_tag;
    slot->state = TOKEN_AWAY;
    if (lane->fd < 0 || vks_ipc_send(lane->fd, &head, parts, 2, NULL, 0))
        finish(slot, VKS_STATUS_UNAVAILABLE);
    if (decrypts)
        explicit_bzero(job->input, request_payload_bytes(request));
}

/* Only what such a request may come to. */
static uint32_t checked_status(const struct job *job, const struct vks_hsm_result *result)
{
    bool decrypts = job->request.op == VKS_OP_DECRYPT;

    switch (result->status) {
    case VKS_STATUS_OK:
        if (decrypts ? result->output_bytes <= job->token_output_bytes
                     : result->output_bytes == job->token_output_bytes)
            return VKS_STATUS_OK;
        return VKS_STATUS_INTERNAL;
    case VKS_STATUS_AUTH_FAILED:
        return decrypts ? VKS_STATUS_AUTH_FAILED : VKS_STATUS_INTERNAL;
    case VKS_STATUS_UNAVAILABLE:
    case VKS_STATUS_UNSUPPORTED:
        return result->status;
    default:
        return VKS_STATUS_INTERNAL;
    }
}

static bool take_answer(struct token_lane *lane, struct vks_ipc_message *message)
{
    uint8_t *body = (uint8_t *)(uintptr_t)vks_ipc_body(message);
    uint32_t rest_bytes = vks_ipc_body_bytes(message) - (uint32_t)sizeof(struct vks_hsm_result);
    struct vks_hsm_result result;
    struct token_job *slot = NULL;

    if (message->head.type != (VKS_HSM_RUN | VKS_IPC_REPLY))
        return false;
    for (int i = 0; !slot && i < VKS_HSM_WINDOW; i++)
        if (lane->slot[i].state == TOKEN_AWAY && lane->slot[i].tag == message->head.tag)
            slot = &lane->slot[i];
    memcpy(&result, body, sizeof(result));
    if (!slot || result.output_bytes != rest_bytes)
        return false;
    finish(slot, checked_status(&slot->job, &result));
    if (slot->job.status == VKS_STATUS_OK) {
        memcpy(slot->job.output, body + sizeof(result), rest_bytes);
        slot->job.output_bytes = rest_bytes;
    }
    explicit_bzero(body, rest_bytes + sizeof(result));
    return true;
}

void token_lane_receive(struct token_lane *lane, struct vks_ipc_message *message)
{
    for (int i = 0; i < VKS_HSM_WINDOW; i++) {
        int got = vks_ipc_receive(lane->fd, message, VKS_IPC_NOWAIT);

        if (got == -EAGAIN)
            return;
        if (got != 1 || !take_answer(lane, message)) {
            disconnect(lane);
            return;
        }
    }
}
