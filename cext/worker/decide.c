/* SPDX-License-Identifier: Apache-2.0 */
/* The order of refusals is that of SPECIFICATION.md, 3: key, mechanism, grant, state; sizes are the operation's. */
#include "decide.h"

#include "order_lane.h"
#include "policy.h"

static bool needs_key(uint32_t op)
{
    return !device_answers(op) && op != VKS_OP_RANDOM;
}

static struct vks_policy_request make_question(const struct request *request, uint32_t mechanism, uint64_t now_s)
{
    return (struct vks_policy_request){
        .op = request->op,
        .mechanism = mechanism,
        .flags = request->flags,
        .uid = request->uid,
        .input_bytes = request->input_bytes,
        .now_s = now_s,
    };
}

static uint32_t decide_key(struct job *job, const struct snapshot_table *table, uint64_t now_s,
                           const struct vks_snapshot_key **found)
{
    const struct request *request = &job->request;
    int64_t index = snapshot_table_find(table, request->key_id, request->key_version);
    const struct vks_snapshot_key *entry = index < 0 ? NULL : &table->entry[index];
    struct vks_policy_request question = make_question(request, request->mechanism, now_s);
    uint32_t status;

    if (entry && vks_policy_has_mechanism(request->op) && request->mechanism == VKS_MECHANISM_DEFAULT)
        question.mechanism = vks_policy_default_mechanism(entry->type, request->op);
    status = vks_policy_decide(entry, &question);
    if (!entry)
        return status;
    *found = entry;
    job->mechanism = question.mechanism;
    job->key_version = entry->version;
    if (status != VKS_STATUS_OK || order_is(request->op))
        return status;
    job->key = table->key[index];
    if (job->key)
        vks_key_touch(job->key);
    return VKS_STATUS_OK;
}

uint32_t decide(struct job *job, const struct snapshot_table *table, uint64_t now_s,
                const struct vks_snapshot_key **entry)
{
    *entry = NULL;
    job->key = NULL;
    job->key_version = 0;
    job->mechanism = job->request.mechanism;
    job->generation = table ? table->head.generation : 0;
    if (job->request.op == VKS_OP_GENERATE)
        return table && table->head.own_keys_max ? VKS_STATUS_OK : VKS_STATUS_DENIED;
    if (!needs_key(job->request.op))
        return VKS_STATUS_OK;
    return decide_key(job, table, now_s, entry);
}

uint32_t decide_release(const struct job *job, const struct snapshot_table *table, uint64_t now_s)
{
    const struct request *request = &job->request;
    struct vks_policy_request question = make_question(request, job->mechanism, now_s);
    int64_t index;

    if (!needs_key(request->op))
        return VKS_STATUS_OK;
    index = snapshot_table_find(table, request->key_id, job->key_version);
    /* Rotated meanwhile: what the version that was current has begun it may finish, if the next one might begin it. */
    if (index >= 0 && request->key_version == 0 && table->entry[index].state == VKS_KEY_STATE_DEACTIVATED)
        index = snapshot_table_find(table, request->key_id, 0);
    return vks_policy_decide(index < 0 ? NULL : &table->entry[index], &question);
}

bool decide_needs_token(const struct job *job)
{
    return job->key && vks_operation_needs_token(job->key, job->request.op);
}

bool decide_is_slow(const struct job *job)
{
    const struct request *request = &job->request;
    uint32_t payload_bytes = request_payload_bytes(request);
    uint32_t work_bytes = request->input_bytes + request->aad_bytes;
    uint32_t type = job->key ? vks_key_type(job->key) : 0;

    if (device_answers(request->op))
        return false;
    /* Only the digest is made here. */
    if (decide_needs_token(job))
        return payload_bytes > JOB_FAST_INPUT_BYTES ||
               vks_operation_is_slow(0, request->op, job->mechanism, work_bytes);
    if (request->op == VKS_OP_RANDOM)
        work_bytes = request->output_bytes;
    return payload_bytes > JOB_FAST_INPUT_BYTES ||
           vks_operation_is_slow(type, request->op, job->mechanism, work_bytes) ||
           vks_operation_output_bytes(type, request->op, job->mechanism, request->input_bytes) > JOB_FAST_OUTPUT_BYTES;
}

bool decide_is_large(const struct job *job)
{
    const struct request *request = &job->request;
    uint32_t type = job->key ? vks_key_type(job->key) : 0;
    uint32_t output_bytes = vks_operation_output_bytes(type, request->op, job->mechanism, request->input_bytes);

    return job->chain.segment_count > JOB_FEW_SEGMENTS || request_payload_bytes(request) > JOB_SMALL_INPUT_BYTES ||
           (output_bytes ? output_bytes : request->output_bytes) > JOB_SMALL_OUTPUT_BYTES;
}
