/* SPDX-License-Identifier: Apache-2.0 */
/* The private buffers of a request and the one call into libcrypto's side. */
#define _GNU_SOURCE
#include "job.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <sys/mman.h>

#include "kill_point.h"
#include "state.h"

static uint8_t *buffer_map(uint32_t size_bytes)
{
    uint8_t *buffer = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (buffer == MAP_FAILED)
        return NULL;
    (void)madvise(buffer, size_bytes, MADV_DONTDUMP);
    return buffer;
}

int job_open(struct job *job, uint32_t input_bytes_max, uint32_t output_bytes_max)
{
    job->input_bytes_max = input_bytes_max;
    job->output_bytes_max = output_bytes_max;
    job->input = buffer_map(input_bytes_max);
    job->output = buffer_map(output_bytes_max);
    return job->input && job->output ? 0 : -ENOMEM;
}

void job_run(struct job *job, enum vks_lane lane)
{
    const struct request *request = &job->request;
    struct vks_operation operation = {
        .op = request->op,
        .mechanism = job->mechanism,
        .flags = request->flags,
        .parameter_bytes = request->parameter_bytes,
        .aad_bytes = request->aad_bytes,
        .input_bytes = request->input_bytes,
        .output_bytes_max = request->output_bytes,
        .parameter = job->input,
        .aad = job->input + request->parameter_bytes,
        .input = job->input + request->parameter_bytes + request->aad_bytes,
        .output = job->output,
    };

    if (job->status != VKS_STATUS_OK)
        return;
    __atomic_store_n(job->run, *job->run | VKS_STATE_RUN_EXECUTING, __ATOMIC_RELEASE);
    if (lane == VKS_LANE_SLOW)
        KILL_POINT(KILL_SLOW_RUNNING);
    KILL_POINT_POISON(request->op);
    /* The decision chose buffers that hold any result; the guest's area may be larger than they are. */
    if (operation.output_bytes_max > job->output_bytes_max)
        operation.output_bytes_max = job->output_bytes_max;
    job->status = vks_operation_run(job->key, &operation, lane);
    job->output_bytes = operation.output_bytes;
    if (job->status == VKS_OPERATION_IN_TOKEN)
        job->token_output_bytes =
            vks_operation_output_bytes(vks_key_type(job->key), request->op, job->mechanism, request->input_bytes);
    /* A ciphertext is still needed. */
    if (job->status == VKS_OPERATION_IN_TOKEN && request->op == VKS_OP_DECRYPT)
        return;
    explicit_bzero(job->input, request_payload_bytes(request));
}

void job_wipe_output(struct job *job)
{
    if (job->status == VKS_STATUS_OK || job->status == VKS_OPERATION_IN_TOKEN)
        explicit_bzero(job->output, job->output_bytes);
    job->output_bytes = 0;
}

void job_move(struct job *to, const struct job *from)
{
    size_t segments_bytes = from->chain.segment_count * sizeof(from->chain.segment[0]);
    uint8_t *input = to->input, *output = to->output;
    uint32_t input_bytes_max = to->input_bytes_max, output_bytes_max = to->output_bytes_max;

    memcpy(to, from, offsetof(struct job, chain.segment));
    memcpy(to->chain.segment, from->chain.segment, segments_bytes);
    to->input = input;
    to->output = output;
    to->input_bytes_max = input_bytes_max;
    to->output_bytes_max = output_bytes_max;
}
