/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What becomes of one request: from an available head to the lane that does it. Order for each: in-flight mark, copy,
 * decision, operation, record, result bytes, used element (DESIGN 3); the last three in serve_done.c.
 */
#include <string.h>

#include "budget.h"
#include "clock.h"
#include "decide.h"
#include "kill_point.h"
#include "worker.h"

enum {
    SET_ASIDE_DEATHS = 2,
};

/* Only the first info since the ring was reset comes from the driver's probe; later ones are its users'. */
static void tell_features(struct ring *ring, uint64_t driver_features)
{
    uint64_t told = UINT64_C(1) << INFLIGHT_F_TOLD;

    if (ring->inflight.queue->features & told)
        return;
    ring->inflight.queue->features = driver_features | told;
    ring->vring.event_idx = (driver_features >> VIRTIO_RING_F_EVENT_IDX) & 1;
}

/* Without the lock: what it uses of the key are contexts of its own. */
static void compute(struct lane *lane, struct job *job)
{
    lane->worker->owed_records++;
    lanes_begin_compute(lane, &job, 1);
    job_run(job, vks_lane_of(lane->index, VKS_LANE_FAST));
    lanes_end_compute(lane);
    lane->worker->owed_records--;
}

static void run_fast(struct lane *lane, struct job *job)
{
    uint64_t driver_features;

    if (device_answers(job->request.op)) {
        job->status = device_answer(job, lane->worker->table, &driver_features);
        if (job->request.op == VKS_OP_INFO && job->status == VKS_STATUS_OK)
            tell_features(&lane->ring, driver_features);
    } else if (job->request.op == VKS_OP_PUBLIC) {
        /* The key keeps it for every lane. */
        job_run(job, vks_lane_of(lane->index, VKS_LANE_FAST));
    } else {
        compute(lane, job);
    }
}

static void decode_and_decide(struct lane *lane, struct job *job, const struct vks_snapshot_key **entry)
{
    struct vks_request_head head;

    job->output_bytes = 0;
    job->key_version = 0;
    job->key = NULL;
    *entry = NULL;
    if (job->chain.readable_bytes >= sizeof(head) && vks_desc_chain_read(&job->chain, 0, &head, sizeof(head)))
        memset(&head, 0, sizeof(head));
    job->status = request_decode(&job->request, &head, job->chain.readable_bytes, job->chain.writable_bytes);
    job->mechanism = job->request.mechanism;
    /* It may have been carried out, and its key be gone: only keystored knows. */
    if (order_is(job->request.op) && inflight_has_run(&lane->ring.inflight, job->head))
        return;
    if (job->status == VKS_STATUS_OK)
        job->status = decide(job, lane->worker->table, lane->now_ns / 1000000000, entry);
}

/* Count an operation that may begin now. False: it must wait until keystored has leased more of the budget. */
static bool charge(struct lane *lane, struct job *job, const struct vks_snapshot_key *entry)
{
    struct ring *ring = &lane->ring;
    uint32_t low = 0, outcome;

    if (!entry || !entry->budget || job->request.op == VKS_OP_PUBLIC)
        return true;
    outcome = vks_budget_charge(ring->inflight.state, lane->index, job->head, entry, monotonic_ns(), &low);
    /* Once is enough for all that wait: keystored looks at every budget. While it is away nobody reads events. */
    if (low && (outcome != VKS_BUDGET_WAITS || !ring->unleased.count))
        control_event(lane->worker, VKS_WORKER_BUDGET_LOW, NULL, 0);
    if (outcome == VKS_BUDGET_REFUSED)
        job->status = VKS_STATUS_LIMIT;
    else if (outcome == VKS_BUDGET_FOREIGN)
        job->status = VKS_STATUS_INTERNAL;
    return outcome != VKS_BUDGET_WAITS;
}

/* The lengths were checked against the chain and chose the lane: failure would be our own mistake. */
static void copy_payload(struct job *job)
{
    if (job_place(job, request_payload_bytes(&job->request)) ||
        vks_desc_chain_read(&job->chain, VKS_HEAD_BYTES, job->input, request_payload_bytes(&job->request)))
        job->status = VKS_STATUS_INTERNAL;
}

static void number_run(struct lane *lane, struct job *job)
{
    const struct vks_state_slot *slot = inflight_run(&lane->ring.inflight, job->head);

    job->sequence = slot->sequence;
    job->attempt = slot->attempt;
    job->set_aside = false;
    job->run = inflight_execute(&lane->ring.inflight, job->head);
    job->ring_run = lane->ring.run;
    job->queue = lane->index;
}

/* A chain without a shape: what it asked for is unknown. */
static void refuse_chain(struct lane *lane, struct job *job)
{
    memset(&job->request, 0, sizeof(job->request));
    job->status = VKS_STATUS_MALFORMED;
    job->mechanism = job->key_version = job->output_bytes = 0;
    number_run(lane, job);
    serve_finish(lane, job, false);
}

/*
 * Workers died while they executed it: not a third time. The head is decoded for the record, but not decided on; and if
 * even that is what kills, the request is given back without a look at it.
 */
static void set_aside(struct lane *lane, struct job *job, uint32_t deaths)
{
    struct ring *ring = &lane->ring;
    struct vks_worker_set_aside body = {.queue = lane->index, .deaths = deaths};
    struct vks_request_head head = {0};

    memset(&job->request, 0, sizeof(job->request));
    job->mechanism = job->key_version = job->output_bytes = 0;
    number_run(lane, job);
    job->set_aside = true;
    job->chain.status = NULL;
    job->chain.writable_bytes = 0;
    if (deaths <= SET_ASIDE_DEATHS &&
        !vks_desc_chain_walk(&job->chain, &lane->worker->mem, ring->vring.desc, ring->vring.size, job->head) &&
        job->chain.readable_bytes >= sizeof(head) && !vks_desc_chain_read(&job->chain, 0, &head, sizeof(head))) {
        (void)request_decode(&job->request, &head, job->chain.readable_bytes, job->chain.writable_bytes);
        job->mechanism = job->request.mechanism;
    }
    job->status = VKS_STATUS_INTERNAL;
    KILL_POINT(KILL_SET_ASIDE);
    serve_finish(lane, job, true);
    body.op = job->request.op;
    body.request_sequence = job->sequence;
    memcpy(body.key_id, job->request.key_id, sizeof(body.key_id));
    control_event(lane->worker, VKS_WORKER_SET_ASIDE, &body, sizeof(body));
}

/* Nothing of it has begun: it will be decided again. */
static void postpone(struct ring *ring, struct head_queue *queue, uint16_t head)
{
    inflight_postpone(&ring->inflight, head);
    head_queue_push(queue, head);
}

/* Its key is granted and not here. False: it did not come a moment ago, and the request is refused. */
static bool await_key(struct lane *lane, struct job *job, const struct vks_snapshot_key *entry)
{
    if (key_wants_is_refused(&lane->worker->wants, entry, monotonic_ns())) {
        job->status = VKS_STATUS_UNAVAILABLE;
        return false;
    }
    key_wants_note(&lane->worker->wants, entry);
    postpone(&lane->ring, &lane->ring.unkeyed, job->head);
    return true;
}

/* Nothing executes here while keystored has it: a death is not this request's. */
static void serve_order(struct lane *lane, struct job *job)
{
    struct ring *ring = &lane->ring;

    if (lane->worker->order.state != ORDER_FREE) {
        postpone(ring, &ring->unordered, job->head);
        return;
    }
    number_run(lane, job);
    copy_payload(job);
    inflight_postpone(&ring->inflight, job->head);
    order_lane_send(&lane->worker->order, lane->worker->control_fd, job);
    KILL_POINT(KILL_ORDERED);
}

static void serve_group(struct lane *lane, struct job *const group[], uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        number_run(lane, group[i]);
    lanes_begin_compute(lane, group, count);
    job_run_batch(group, count, vks_lane_of(lane->index, VKS_LANE_FAST));
    lanes_end_compute(lane);
    for (uint32_t i = 0; i < count; i++) {
        KILL_POINT(KILL_RAN);
        lane->worker->owed_records--;
        serve_conclude(lane, group[i]);
        gather_release(&lane->gather, group[i]);
    }
}

void serve_ungather(struct lane *lane, struct job *job)
{
    lane->worker->owed_records--;
    gather_release(&lane->gather, job);
}

void serve_gathered(struct lane *lane, uint32_t batch_class)
{
    struct job *group[VKS_BATCH_LANES];
    uint32_t count;

    while ((count = gather_group(&lane->gather, batch_class, group)) > 0)
        serve_group(lane, group, count);
}

/* Others run before it: its run begins with its group's. */
static void gather(struct lane *lane, struct job *job)
{
    struct job *place = gather_add(&lane->gather, job);

    lane->worker->owed_records++;
    copy_payload(place);
    inflight_postpone(&lane->ring.inflight, job->head);
    if (gather_is_full(&lane->gather, place->batch_class))
        serve_gathered(lane, lane->gather.count == GATHER_JOBS ? 0 : place->batch_class);
}

void serve_head(struct lane *lane, uint16_t head)
{
    struct ring *ring = &lane->ring;
    struct job *job = &lane->fast, *slow = NULL;
    struct token_job *token = NULL;
    const struct vks_snapshot_key *entry;
    uint32_t deaths = inflight_deaths(&ring->inflight, head);
    enum slow_size size;

    job->head = head;
    job->batch_class = 0;
    (void)inflight_execute(&ring->inflight, head);
    if (deaths >= SET_ASIDE_DEATHS) {
        set_aside(lane, job, deaths);
        return;
    }
    if (vks_desc_chain_walk(&job->chain, &lane->worker->mem, ring->vring.desc, ring->vring.size, head)) {
        refuse_chain(lane, job);
        return;
    }
    decode_and_decide(lane, job, &entry);
    KILL_POINT(KILL_DECIDED);
    if (job->status == VKS_STATUS_OK && order_is(job->request.op)) {
        serve_order(lane, job);
        return;
    }
    if (job->status == VKS_STATUS_OK && entry && !job->key && await_key(lane, job, entry))
        return;
    if (job->status == VKS_STATUS_OK && decide_needs_token(job)) {
        token = token_lane_take(&lane->worker->token);
        if (!token) {
            postpone(ring, &ring->untokened, head);
            return;
        }
        /* Before anything is charged for it. */
        if (lane->worker->token.fd < 0)
            job->status = VKS_STATUS_UNAVAILABLE;
    }
    if (job->status == VKS_STATUS_OK && decide_is_slow(job)) {
        size = decide_is_large(job) ? SLOW_LARGE : SLOW_SMALL;
        slow = slow_lane_free_job(&lane->slow, size);
        if (!slow) {
            token_lane_release(token);
            postpone(ring, &ring->parked[size], head);
            return;
        }
    }
    if (job->status == VKS_STATUS_OK && !charge(lane, job, entry)) {
        token_lane_release(token);
        postpone(ring, &ring->unleased, head);
        return;
    }
    KILL_POINT(KILL_CHARGED);
    job->token = token;
    if (job->status == VKS_STATUS_OK && job->key && !token && !deaths && job->chain.segment_count <= JOB_FEW_SEGMENTS)
        job->batch_class =
            vks_batch_class(job->key, job->request.op, job->mechanism, request_payload_bytes(&job->request));
    if (job->status == VKS_STATUS_OK && !slow && job->batch_class) {
        gather(lane, job);
        return;
    }
    if (job->status == VKS_STATUS_OK && slow) {
        number_run(lane, job);
        job_move(slow, job);
        copy_payload(slow);
        /* Others run before it: it is executing when the lane says so. */
        inflight_postpone(&ring->inflight, head);
        slow_lane_submit(&lane->slow, slow);
        /* The copy may have been long, and is none of the next one's time. */
        lane->now_ns = realtime_ns();
        return;
    }
    number_run(lane, job);
    if (job->status == VKS_STATUS_OK) {
        copy_payload(job);
        run_fast(lane, job);
    }
    KILL_POINT(KILL_RAN);
    serve_conclude(lane, job);
    job_leave_output(job);
}
