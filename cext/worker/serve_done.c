/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From what has been done to its answer: decided once more where that is due, recorded, written, published. Knows jobs
 * of every lane; must not know how they were run.
 */
#include "answer.h"
#include "clock.h"
#include "decide.h"
#include "kill_point.h"
#include "worker.h"

enum {
    LONG_ANSWER_BYTES = 4096,
};

void serve_finish(struct worker *worker, const struct job *job, bool walked)
{
    uint32_t used_bytes;

    worker->now_ns = realtime_ns();
    audit_run_add(&worker->audit, job, worker->now_ns);
    KILL_POINT(KILL_RECORDED);
    if (!worker->ring.running || job->ring_run != worker->ring.run)
        return;
    used_bytes = walked ? answer_write(job) : answer_broken(&job->chain);
    inflight_answer(&worker->ring.inflight, &worker->ring.vring, job->head, used_bytes);
    /* Writing a short answer takes less time than reading the clock. */
    if (used_bytes > LONG_ANSWER_BYTES)
        worker->now_ns = realtime_ns();
    /* With a version that was found the key is one of the guest's. */
    latency_answered(&worker->latency, job->head, job->key_version ? job->request.key_id : NULL, job->request.op,
                     worker->now_ns);
}

/* The snapshot may have changed while it ran: what may not go out any more is withheld, and recorded as refused. */
static void check_release(struct worker *worker, struct job *job)
{
    uint32_t status;

    if ((job->status != VKS_STATUS_OK && job->status != VKS_OPERATION_IN_TOKEN &&
         job->status != VKS_STATUS_UNAVAILABLE) ||
        !worker->table || job->generation == worker->table->head.generation)
        return;
    worker->now_ns = realtime_ns();
    status = decide_release(job, worker->table, worker->now_ns / 1000000000);
    if (status == VKS_STATUS_OK)
        return;
    job_wipe_output(job);
    job->status = status;
}

void serve_conclude(struct worker *worker, struct job *job)
{
    struct ring *ring = &worker->ring;

    check_release(worker, job);
    if (job->status != VKS_OPERATION_IN_TOKEN) {
        token_lane_release(job->token);
        serve_finish(worker, job, true);
    } else if (!ring->running || job->ring_run != ring->run) {
        token_lane_release(job->token);
    } else {
        inflight_postpone(&ring->inflight, job->head);
        token_lane_send(&worker->token, job->token, job);
    }
    job->token = NULL;
}

static void serve_done_tokens(struct worker *worker)
{
    struct token_job *slot;

    while ((slot = token_lane_done(&worker->token)) != NULL && audit_run_has_room(&worker->audit, 1)) {
        check_release(worker, &slot->job);
        serve_finish(worker, &slot->job, true);
        token_lane_release(slot);
    }
}

static void serve_done_order(struct worker *worker)
{
    struct order_lane *lane = &worker->order;

    if (lane->state != ORDER_DONE || !audit_run_has_room(&worker->audit, 1))
        return;
    serve_finish(worker, &lane->job, true);
    lane->state = ORDER_FREE;
}

bool serve_has_done(const struct worker *worker)
{
    return slow_lane_count(&worker->slow, SLOW_DONE) || token_lane_has(&worker->token, TOKEN_DONE) ||
           worker->order.state == ORDER_DONE;
}

void serve_done_jobs(struct worker *worker)
{
    struct job *job;

    while ((job = slow_lane_done(&worker->slow)) != NULL && audit_run_has_room(&worker->audit, 1)) {
        serve_conclude(worker, job);
        slow_lane_release(&worker->slow, job);
    }
    serve_done_tokens(worker);
    serve_done_order(worker);
    control_settle_snapshot(worker);
}
