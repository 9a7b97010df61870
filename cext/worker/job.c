/* SPDX-License-Identifier: Apache-2.0 */
/* The private buffers of a request and the one call into libcrypto's side. */
#define _GNU_SOURCE
#include "job.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "batch.h"
#include "kill_point.h"
#include "state.h"

static uint8_t *buffer_map(uint32_t size_bytes)
{
    uint8_t *buffer = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (buffer == MAP_FAILED)
        abort();
    (void)madvise(buffer, size_bytes, MADV_DONTDUMP);
    return buffer;
}

void job_prepare(struct job *job, uint32_t input_bytes_max, uint32_t output_bytes_max)
{
    if (job->input)
        return;
    job->input_bytes_max = input_bytes_max;
    job->output_bytes_max = output_bytes_max;
    job->input = buffer_map(input_bytes_max);
    job->output = buffer_map(output_bytes_max);
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

static void keep_larger(uint32_t *left_bytes, uint32_t bytes)
{
    if (*left_bytes < bytes)
        *left_bytes = bytes;
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
        keep_larger(&job->input_left_bytes, request_payload_bytes(request));
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
        keep_larger(&job->output_left_bytes, job->output_bytes);
    job->output_bytes = 0;
}

void job_rest(struct job *job)
{
    explicit_bzero(job->input, job->input_left_bytes);
    explicit_bzero(job->output, job->output_left_bytes);
    job->input_left_bytes = job->output_left_bytes = 0;
}

void job_move(struct job *to, const struct job *from)
{
    size_t segments_bytes = from->chain.segment_count * sizeof(from->chain.segment[0]);
    uint8_t *input = to->input, *output = to->output;
    uint32_t input_bytes_max = to->input_bytes_max, output_bytes_max = to->output_bytes_max;
    uint32_t input_left_bytes = to->input_left_bytes, output_left_bytes = to->output_left_bytes;

    memcpy(to, from, offsetof(struct job, chain.segment));
    memcpy(to->chain.segment, from->chain.segment, segments_bytes);
    to->input = input;
    to->output = output;
    to->input_bytes_max = input_bytes_max;
    to->output_bytes_max = output_bytes_max;
    to->input_left_bytes = input_left_bytes;
    to->output_left_bytes = output_left_bytes;
}
