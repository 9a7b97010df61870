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

bool serve_has_room(const struct worker *worker)
{
    return audit_run_has_room(&worker->audit, worker->owed_records + 1);
}

void serve_finish(struct lane *lane, const struct job *job, bool walked)
{
    uint32_t used_bytes;

    lane->now_ns = realtime_ns();
    audit_run_add(&lane->worker->audit, job, lane->now_ns);
    KILL_POINT(KILL_RECORDED);
    if (!lane->ring.running || job->ring_run != lane->ring.run)
        return;
    used_bytes = walked ? answer_write(job) : answer_broken(&job->chain);
    inflight_answer(&lane->ring.inflight, &lane->ring.vring, job->head, used_bytes);
    /* Writing a short answer takes less time than reading the clock. */
    if (used_bytes > LONG_ANSWER_BYTES)
        lane->now_ns = realtime_ns();
    /* With a version that was found the key is one of the guest's. */
    latency_answered(&lane->latency, job->head, job->key_version ? job->request.key_id : NULL, job->request.op,
                     lane->now_ns);
}

/* The snapshot may have changed while it ran: what may not go out any more is withheld, and recorded as refused. */
static void check_release(struct lane *lane, struct job *job)
{
    uint32_t status;

    if ((job->status != VKS_STATUS_OK && job->status != VKS_OPERATION_IN_TOKEN &&
         job->status != VKS_STATUS_UNAVAILABLE) ||
        !lane->worker->table || job->generation == lane->worker->table->head.generation)
        return;
    lane->now_ns = realtime_ns();
    status = decide_release(job, lane->worker->table, lane->now_ns / 1000000000);
    if (status == VKS_STATUS_OK)
        return;
    job_wipe_output(job);
    job->status = status;
}

void serve_conclude(struct lane *lane, struct job *job)
{
    struct ring *ring = &lane->ring;

    check_release(lane, job);
    if (job->status != VKS_OPERATION_IN_TOKEN) {
        token_lane_release(job->token);
        serve_finish(lane, job, true);
    } else if (!ring->running || job->ring_run != ring->run) {
        token_lane_release(job->token);
    } else {
        inflight_postpone(&ring->inflight, job->head);
        token_lane_send(&lane->worker->token, job->token, job);
    }
    job->token = NULL;
}

/* For whichever ring: its lane signals, and may have requests that waited for this. */
static void serve_done_tokens(struct worker *worker)
{
    struct token_job *slot;

    while ((slot = token_lane_done(&worker->token)) != NULL && serve_has_room(worker)) {
        struct lane *lane = &worker->lane[slot->job.queue];

        check_release(lane, &slot->job);
        serve_finish(lane, &slot->job, true);
        token_lane_release(slot);
        lanes_wake_all(worker);
    }
}

static void serve_done_order(struct worker *worker)
{
    struct order_lane *order = &worker->order;

    if (order->state != ORDER_DONE || !serve_has_room(worker))
        return;
    serve_finish(&worker->lane[order->job.queue], &order->job, true);
    order->state = ORDER_FREE;
    lanes_wake_all(worker);
}

bool serve_has_done(const struct lane *lane)
{
    const struct worker *worker = lane->worker;

    if (slow_lane_count(&lane->slow, SLOW_DONE))
        return true;
    return lane->index == 0 && (token_lane_has(&worker->token, TOKEN_DONE) || worker->order.state == ORDER_DONE);
}

void serve_done_jobs(struct lane *lane)
{
    struct job *job;

    while ((job = slow_lane_done(&lane->slow)) != NULL && serve_has_room(lane->worker)) {
        serve_conclude(lane, job);
        slow_lane_release(&lane->slow, job);
    }
    if (lane->index == 0) {
        serve_done_tokens(lane->worker);
        serve_done_order(lane->worker);
    }
    control_settle_snapshot(lane->worker);
}
