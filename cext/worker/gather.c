/* SPDX-License-Identifier: Apache-2.0 */
/* Places for gathered requests, and groups of one class among them. */
#include "gather.h"

struct job *gather_add(struct gather *gather, const struct job *job)
{
    uint32_t index = 0;

    while (gather->batch_class[index])
        index++;
    job_prepare(&gather->job[index], JOB_FEW_SEGMENTS, GATHER_BYTES);
    job_move(&gather->job[index], job);
    if (job->key)
        vks_key_ref(job->key);
    gather->batch_class[index] = job->batch_class;
    gather->count++;
    gather->used = true;
    return &gather->job[index];
}

static uint32_t count_class(const struct gather *gather, uint32_t batch_class)
{
    uint32_t count = 0;

    for (int i = 0; i < GATHER_JOBS; i++)
        count += gather->batch_class[i] == batch_class;
    return count;
}

bool gather_is_full(const struct gather *gather, uint32_t batch_class)
{
    return gather->count == GATHER_JOBS || count_class(gather, batch_class) == VKS_BATCH_LANES;
}

uint32_t gather_group(struct gather *gather, uint32_t batch_class, struct job *group[VKS_BATCH_LANES])
{
    uint32_t count = 0;

    for (int i = 0; i < GATHER_JOBS && count < VKS_BATCH_LANES; i++) {
        if (!batch_class)
            batch_class = gather->batch_class[i];
        if (batch_class && gather->batch_class[i] == batch_class)
            group[count++] = &gather->job[i];
    }
    for (uint32_t i = 0; i < count; i++)
        gather->runs[group[i] - gather->job] = true;
    return count;
}

void gather_release(struct gather *gather, struct job *job)
{
    if (job->key)
        vks_key_unref(job->key);
    job->key = NULL;
    job_leave_output(job);
    gather->batch_class[job - gather->job] = 0;
    gather->runs[job - gather->job] = false;
    gather->count--;
}

struct job *gather_waiting(struct gather *gather)
{
    for (int i = 0; i < GATHER_JOBS; i++)
        if (gather->batch_class[i] && !gather->runs[i])
            return &gather->job[i];
    return NULL;
}

void gather_rest(struct gather *gather)
{
    for (int i = 0; i < GATHER_JOBS && gather->used; i++)
        job_rest(&gather->job[i]);
    gather->used = false;
}
