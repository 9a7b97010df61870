/* SPDX-License-Identifier: Apache-2.0 */
/* Places for gathered requests, and groups of one class among them. */
#include "gather.h"

int gather_open(struct gather *gather)
{
    for (int i = 0; i < GATHER_JOBS; i++) {
        int error = job_open(&gather->job[i], VKS_BATCH_INPUT_BYTES_MAX, VKS_BATCH_OUTPUT_BYTES_MAX);

        if (error)
            return error;
    }
    return 0;
}

struct job *gather_add(struct gather *gather, const struct job *job)
{
    struct job *place = gather->job;

    while (place->batch_class)
        place++;
    job_move(place, job);
    gather->count++;
    return place;
}

static uint32_t count_class(const struct gather *gather, uint32_t batch_class)
{
    uint32_t count = 0;

    for (int i = 0; i < GATHER_JOBS; i++)
        count += gather->job[i].batch_class == batch_class;
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
        struct job *job = &gather->job[i];

        if (!batch_class)
            batch_class = job->batch_class;
        if (batch_class && job->batch_class == batch_class)
            group[count++] = job;
    }
    return count;
}

void gather_release(struct gather *gather, struct job *job)
{
    job_wipe_output(job);
    job->batch_class = 0;
    gather->count--;
}
