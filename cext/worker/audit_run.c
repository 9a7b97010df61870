/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests share a record (promise P4). */
#include "audit_run.h"

#include <stdlib.h>
#include <string.h>

#include "vmm_keystore.h"

/* Operations that may share one. What gives a secret to the guest never does: an operation is not here by itself. */
static const uint32_t SHARED_OPS = 1U << VKS_OP_INFO | 1U << VKS_OP_LIST | 1U << VKS_OP_PUBLIC | 1U << VKS_OP_SIGN |
                                   1U << VKS_OP_VERIFY | 1U << VKS_OP_ENCRYPT | 1U << VKS_OP_DECRYPT |
                                   1U << VKS_OP_MAC | 1U << VKS_OP_MAC_VERIFY | 1U << VKS_OP_RANDOM;

static void describe(struct vks_audit_record *record, const struct job *job, uint64_t time_ns)
{
    const struct request *request = &job->request;

    *record = (struct vks_audit_record){
        .request_sequence = job->sequence,
        .time_ns = time_ns,
        .covered = vks_audit_covered(request->input_bytes),
        .key_version = job->key_version ? job->key_version : request->key_version,
        .op = request->op,
        .mechanism = job->mechanism,
        .status = job->status,
        .flags = (request->flags & VKS_REQUEST_F_UID ? VKS_AUDIT_F_UID : 0) |
                 (request->flags & VKS_REQUEST_F_DIGEST ? VKS_AUDIT_F_DIGEST : 0) |
                 (job->set_aside ? VKS_AUDIT_F_SET_ASIDE : 0),
        .uid = request->uid,
        .attempt = job->attempt,
        .queue = job->queue,
    };
    memcpy(record->key_id, request->key_id, sizeof(record->key_id));
}

static bool may_share(const struct vks_audit_record *record)
{
    return record->status == VKS_STATUS_OK && record->attempt == 1 && !(record->flags & VKS_AUDIT_F_SET_ASIDE) &&
           record->op < 32 && (SHARED_OPS >> record->op) & 1;
}

static bool is_equal(const struct vks_audit_record *left, const struct vks_audit_record *right)
{
    return memcmp(left->key_id, right->key_id, sizeof(left->key_id)) == 0 && left->key_version == right->key_version &&
           left->op == right->op && left->mechanism == right->mechanism && left->flags == right->flags &&
           left->uid == right->uid && left->queue == right->queue;
}

/* The requests of a record are numbered without a gap: it says which they are. */
static bool continues(const struct vks_audit_record *open, const struct vks_audit_record *next)
{
    uint32_t requests = vks_audit_covered_requests(open->covered);

    return next->request_sequence == open->request_sequence + requests && requests < VKS_AUDIT_REQUESTS_MAX &&
           next->time_ns - open->time_ns < AUDIT_RUN_NS && is_equal(open, next);
}

bool audit_run_has_room(const struct audit_run *run, uint32_t records)
{
    return vks_audit_room(run->ring) >= records;
}

/* Everything in front of the first record that is open is keystored's. */
static void give(struct audit_run *run)
{
    uint64_t last = run->ring->head;

    for (uint32_t i = 0; i < VKS_STATE_QUEUES_MAX; i++)
        if (run->of[i].open && run->of[i].record.record <= last)
            last = run->of[i].record.record - 1;
    vks_audit_close_to(run->ring, last);
}

void audit_run_add(struct audit_run *run, const struct job *job, uint64_t time_ns)
{
    struct audit_open *of = &run->of[job->queue];
    struct vks_audit_record next;

    describe(&next, job, time_ns);
    if (of->open && may_share(&next) && continues(&of->record, &next)) {
        of->record.covered += next.covered;
        vks_audit_extend(run->ring, of->record.record, of->record.covered);
        return;
    }
    /* The caller saw room and is the only one who appends: failure is a bug, and a result without record is worse. */
    if (vks_audit_append(run->ring, &next))
        abort();
    of->record = next;
    of->open = may_share(&next);
    give(run);
}

void audit_run_close(struct audit_run *run, uint32_t queue)
{
    /* Whoever has nothing open may be a standby, and the open record its predecessor's. */
    if (!run->of[queue].open)
        return;
    run->of[queue].open = false;
    give(run);
}

void audit_run_close_all(struct audit_run *run)
{
    for (uint32_t i = 0; i < VKS_STATE_QUEUES_MAX; i++)
        audit_run_close(run, i);
}

void audit_run_take_over(struct audit_run *run)
{
    for (uint32_t i = 0; i < VKS_STATE_QUEUES_MAX; i++)
        run->of[i].open = false;
    vks_audit_close(run->ring);
}
