/* SPDX-License-Identifier: Apache-2.0 */
/* Messages to keystored and back. Knows the form of an order; must not know whose keys those are. */
#include "order_lane.h"

#include <endian.h>
#include <errno.h>
#include <string.h>

#include "ipc.h"
#include "ipc_socket.h"

bool order_is(uint32_t op)
{
    return op == VKS_OP_GENERATE || op == VKS_OP_ROTATE || op == VKS_OP_DESTROY;
}

void order_lane_open(struct order_lane *lane)
{
    job_prepare(&lane->job, VKS_DESCRIPTORS_MAX, VKS_KEY_ID_BYTES);
}

static void finish(struct order_lane *lane, uint32_t status)
{
    lane->job.status = status;
    lane->state = ORDER_DONE;
}

/* MALFORMED, OUTPUT_SIZE or OK. The label's characters are keystored's to look at, which has the names. */
static uint32_t read_generate(const struct job *job, struct vks_worker_order *order)
{
    struct vks_generate_request asked;
    size_t text_bytes;

    if (job->request.input_bytes != sizeof(asked))
        return VKS_STATUS_MALFORMED;
    memcpy(&asked, job->input, sizeof(asked));
    text_bytes = strnlen((const char *)asked.label, sizeof(asked.label));
    if (asked.reserved || text_bytes == 0 || text_bytes == sizeof(asked.label))
        return VKS_STATUS_MALFORMED;
    for (size_t i = text_bytes; i < sizeof(asked.label); i++)
        if (asked.label[i])
            return VKS_STATUS_MALFORMED;
    if (job->request.output_bytes < VKS_KEY_ID_BYTES)
        return VKS_STATUS_OUTPUT_SIZE;
    order->type = le32toh(asked.type);
    memcpy(order->label, asked.label, sizeof(order->label));
    return VKS_STATUS_OK;
}

void order_lane_send(struct order_lane *lane, int control_fd, const struct job *job)
{
    const struct request *request = &job->request;
    struct vks_ipc_head head = {.type = VKS_WORKER_ORDER};
    struct vks_worker_order order = {
        .request_sequence = job->sequence,
        .op = request->op,
        .flags = request->flags & VKS_REQUEST_F_UID ? VKS_ORDER_F_UID : 0,
        .uid = request->uid,
    };
    struct vks_ipc_part part = {&order, sizeof(order)};
    uint32_t status = VKS_STATUS_OK;

    memcpy(order.key_id, request->key_id, sizeof(order.key_id));
    if (request->op == VKS_OP_GENERATE)
        status = read_generate(job, &order);
    job_move(&lane->job, job);
    lane->job.key = NULL;
    lane->job.output_bytes = status == VKS_STATUS_OUTPUT_SIZE ? VKS_KEY_ID_BYTES : 0;
    lane->state = ORDER_AWAY;
    if (status == VKS_STATUS_OK && vks_ipc_send(control_fd, &head, &part, 1, NULL, 0))
        status = VKS_STATUS_UNAVAILABLE;
    if (status != VKS_STATUS_OK)
        finish(lane, status);
}

int order_lane_take(struct order_lane *lane, const struct vks_worker_ordered *ordered)
{
    struct job *job = &lane->job;

    if (lane->state != ORDER_AWAY || ordered->request_sequence != job->sequence)
        return -ESRCH;
    finish(lane, ordered->status < VKS_STATUS_END ? ordered->status : (uint32_t)VKS_STATUS_INTERNAL);
    if (job->status != VKS_STATUS_OK)
        return 0;
    job->key_version = ordered->key_version;
    if (job->request.op == VKS_OP_GENERATE) {
        /* Its record names the key. */
        memcpy(job->request.key_id, ordered->key_id, sizeof(ordered->key_id));
        memcpy(job->output, ordered->key_id, sizeof(ordered->key_id));
        job->output_bytes = VKS_KEY_ID_BYTES;
    }
    return 0;
}
