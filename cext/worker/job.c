/* SPDX-License-Identifier: Apache-2.0 */
/* The private buffers of a request and the one call into libcrypto's side. */
#define _GNU_SOURCE
#include "job.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "batch.h"
#include "kill_point.h"
#include "state.h"

enum {
    OUTPUT_ALIGNMENT = 64,
};

static uint8_t *buffer_map(size_t size_bytes)
{
    uint8_t *buffer = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (buffer == MAP_FAILED)
        abort();
    (void)madvise(buffer, size_bytes, MADV_DONTDUMP);
    return buffer;
}

void job_prepare(struct job *job, uint32_t segments_max, uint32_t buffer_bytes)
{
    size_t segments_bytes = segments_max * sizeof(job->chain.segment[0]);
    uint8_t *buffer;

    if (job->input)
        return;
    buffer = buffer_map(segments_bytes + buffer_bytes);
    job->chain.segment = (struct vks_segment *)(void *)buffer;
    job->input = job->output = buffer + segments_bytes;
    job->buffer_bytes = job->output_bytes_max = buffer_bytes;
}

int job_place(struct job *job, uint32_t payload_bytes)
{
    if (payload_bytes > job->buffer_bytes - (OUTPUT_ALIGNMENT - 1))
        return -ENOSPC;
    payload_bytes = (payload_bytes + OUTPUT_ALIGNMENT - 1) & ~(uint32_t)(OUTPUT_ALIGNMENT - 1);
    job->output = job->input + payload_bytes;
    job->output_bytes_max = job->buffer_bytes - payload_bytes;
    return 0;
}

static struct vks_operation describe(const struct job *job)
{
    const struct request *request = &job->request;

    return (struct vks_operation){
        .op = request->op,
        .mechanism = job->mechanism,
        .flags = request->flags,
        .parameter_bytes = request->parameter_bytes,
        .aad_bytes = request->aad_bytes,
        .input_bytes = request->input_bytes,
        /* The decision chose buffers that hold any result; the guest's area may be larger than they are. */
        .output_bytes_max =
            request->output_bytes > job->output_bytes_max ? job->output_bytes_max : request->output_bytes,
        .parameter = job->input,
        .aad = job->input + request->parameter_bytes,
        .input = job->input + request->parameter_bytes + request->aad_bytes,
        .output = job->output,
    };
}

static void begin(const struct job *job, enum vks_lane lane)
{
    __atomic_store_n(job->run, *job->run | VKS_STATE_RUN_EXECUTING, __ATOMIC_RELEASE);
    if (lane == VKS_LANE_SLOW)
        KILL_POINT(KILL_SLOW_RUNNING);
    KILL_POINT_POISON(job->request.op);
}

static void note_left(struct job *job, uint32_t bytes)
{
    if (job->left_bytes < bytes)
        job->left_bytes = bytes;
}

static void end(struct job *job, uint32_t status, uint32_t output_bytes, enum vks_lane lane)
{
    const struct request *request = &job->request;

    job->status = status;
    job->output_bytes = output_bytes;
    if (status == VKS_OPERATION_IN_TOKEN)
        job->token_output_bytes =
            vks_operation_output_bytes(vks_key_type(job->key), request->op, job->mechanism, request->input_bytes);
    /* A ciphertext is still needed. */
    if (status == VKS_OPERATION_IN_TOKEN && request->op == VKS_OP_DECRYPT)
        return;
    if (lane == VKS_LANE_SLOW)
        explicit_bzero(job->input, request_payload_bytes(request));
    else
        note_left(job, request_payload_bytes(request));
}

void job_run(struct job *job, enum vks_lane lane)
{
    struct vks_operation operation = describe(job);
    uint32_t status;

    if (job->status != VKS_STATUS_OK)
        return;
    begin(job, lane);
    status = vks_operation_run(job->key, &operation, lane);
    end(job, status, operation.output_bytes, lane);
}

void job_run_batch(struct job *const jobs[], uint32_t count, enum vks_lane lane)
{
    struct vks_batch_item items[VKS_BATCH_LANES];
    struct job *run[VKS_BATCH_LANES];
    uint32_t run_count = 0;

    for (uint32_t i = 0; i < count; i++) {
        if (jobs[i]->status != VKS_STATUS_OK)
            continue;
        items[run_count] = (struct vks_batch_item){.key = jobs[i]->key, .operation = describe(jobs[i])};
        run[run_count++] = jobs[i];
        begin(jobs[i], lane);
    }
    if (run_count)
        vks_batch_run(items, run_count, lane);
    for (uint32_t i = 0; i < run_count; i++)
        end(run[i], items[i].status, items[i].operation.output_bytes, lane);
}

void job_wipe_output(struct job *job)
{
    if (job->status == VKS_STATUS_OK || job->status == VKS_OPERATION_IN_TOKEN)
        explicit_bzero(job->output, job->output_bytes);
    job->output_bytes = 0;
}

void job_leave_output(struct job *job)
{
    if (job->status == VKS_STATUS_OK || job->status == VKS_OPERATION_IN_TOKEN)
        note_left(job, (uint32_t)(job->output - job->input) + job->output_bytes);
    job->output_bytes = 0;
}

void job_rest(struct job *job)
{
    if (job->left_bytes)
        explicit_bzero(job->input, job->left_bytes);
    job->left_bytes = 0;
}

void job_move(struct job *to, const struct job *from)
{
    struct job place = *to;

    *to = *from;
    to->input = place.input;
    to->output = place.output;
    to->output_bytes_max = place.output_bytes_max;
    to->buffer_bytes = place.buffer_bytes;
    to->left_bytes = place.left_bytes;
    to->chain.segment = place.chain.segment;
    memcpy(to->chain.segment, from->chain.segment, from->chain.segment_count * sizeof(from->chain.segment[0]));
}
