/* SPDX-License-Identifier: Apache-2.0 */
/* Which requests share an audit record: a first one, a second one, and how many records they leave. */
#include "audit_run.h"

#include <stdlib.h>
#include <string.h>

#include "check.h"
#include "state.h"
#include "vmm_keystore.h"

enum {
    SECOND_NS = 1000000000,
    FIRST_SEQUENCE = 41,
};

static const uint64_t START_NS = UINT64_C(1800000000) * SECOND_NS;

static struct job base(void)
{
    struct job job = {
        .request = {.op = VKS_OP_MAC, .key_id = {7}, .input_bytes = 100, .uid = 5, .flags = VKS_REQUEST_F_UID},
        .status = VKS_STATUS_OK,
        .mechanism = VKS_MECHANISM_HMAC_SHA256,
        .key_version = 3,
        .sequence = FIRST_SEQUENCE,
        .attempt = 1,
    };

    return job;
}

static void as_it_is(struct job *job)
{
    (void)job;
}

static void other_key(struct job *job)
{
    job->request.key_id[15] = 1;
}

static void other_version(struct job *job)
{
    job->key_version++;
}

static void other_op(struct job *job)
{
    job->request.op = VKS_OP_MAC_VERIFY;
}

static void other_mechanism(struct job *job)
{
    job->mechanism++;
}

static void other_uid(struct job *job)
{
    job->request.uid++;
}

static void no_uid(struct job *job)
{
    job->request.flags = 0;
}

static void digest(struct job *job)
{
    job->request.flags |= VKS_REQUEST_F_DIGEST;
}

static void refused(struct job *job)
{
    job->status = VKS_STATUS_DENIED;
}

static void run_again(struct job *job)
{
    job->attempt = 2;
}

static void aside(struct job *job)
{
    job->set_aside = true;
}

static void unknown_op(struct job *job)
{
    job->request.op = 255;
}

static void gap(struct job *job)
{
    job->sequence++;
}

static void earlier(struct job *job)
{
    job->sequence -= 2;
}

static const struct {
    const char *name;
    void (*change)(struct job *job);
    int64_t later_ns;
    uint64_t records;
    bool both; /* the change is made to the first one as well */
} cases[] = {
    {"equal", as_it_is, 0, 1, false},
    {"equal, just in time", as_it_is, AUDIT_RUN_NS - 1, 1, false},
    {"equal, too late", as_it_is, AUDIT_RUN_NS, 2, false},
    {"equal, a year later", as_it_is, INT64_C(31536000) * SECOND_NS, 2, false},
    {"equal, the clock was set back", as_it_is, -1, 2, false},
    {"other key", other_key, 0, 2, false},
    {"other version", other_version, 0, 2, false},
    {"other operation", other_op, 0, 2, false},
    {"other mechanism", other_mechanism, 0, 2, false},
    {"other user", other_uid, 0, 2, false},
    {"no user", no_uid, 0, 2, false},
    {"digest", digest, 0, 2, false},
    {"refused after allowed", refused, 0, 2, false},
    {"refused after refused", refused, 0, 2, true},
    {"run again", run_again, 0, 2, false},
    {"run again after run again", run_again, 0, 2, true},
    {"set aside", aside, 0, 2, true},
    {"operation nobody listed", unknown_op, 0, 2, true},
    {"a number is left out", gap, 0, 2, false},
    {"an earlier number", earlier, 0, 2, false},
};

static void *state;

static struct vks_audit_ring *make_ring(void)
{
    memset(state, 0, vks_state_bytes());
    vks_state_init(state);
    return vks_state_audit(state);
}

static void test_pairs(void)
{
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct audit_run run = {.ring = make_ring()};
        struct job first = base(), second = base();
        struct vks_audit_record record;

        if (cases[i].both)
            cases[i].change(&first);
        second.sequence++;
        cases[i].change(&second);
        audit_run_add(&run, &first, START_NS);
        audit_run_add(&run, &second, START_NS + (uint64_t)cases[i].later_ns);
        CHECK(cases[i].name, run.ring->head == cases[i].records);
        audit_run_close(&run, 0);
        CHECK(cases[i].name, run.ring->closed == run.ring->head);
        CHECK_EQUAL(cases[i].name, vks_audit_peek(run.ring, &record, 1), 1);
        CHECK(cases[i].name, vks_audit_covered_requests(record.covered) == (cases[i].records == 1 ? 2 : 1));
        CHECK(cases[i].name, vks_audit_covered_bytes(record.covered) == (cases[i].records == 1 ? 200 : 100));
        CHECK_EQUAL(cases[i].name, record.request_sequence, first.sequence);
    }
}

/* A record ends before its count could run over. */
static void test_longest(void)
{
    struct audit_run run = {.ring = make_ring()};
    struct job job = base();

    for (uint32_t i = 0; i <= VKS_AUDIT_REQUESTS_MAX; i++) {
        CHECK_EQUAL("records so far", run.ring->head, i != 0);
        audit_run_add(&run, &job, START_NS);
        job.sequence++;
    }
    CHECK_EQUAL("a second record", run.ring->head, 2);
}

/* keystored sees nothing of an open record, and a standby that closes does not touch the one of who serves. */
static void test_open_is_invisible(void)
{
    struct audit_run run = {.ring = make_ring()}, standby = {.ring = run.ring};
    struct vks_audit_record record;
    struct job job = base();

    audit_run_add(&run, &job, START_NS);
    CHECK_EQUAL("open", vks_audit_peek(run.ring, &record, 1), 0);
    audit_run_close_all(&standby);
    CHECK_EQUAL("not the standby's", vks_audit_peek(run.ring, &record, 1), 0);
    audit_run_take_over(&standby);
    CHECK_EQUAL("taken over", vks_audit_peek(run.ring, &record, 1), 1);
}

/* Two queues at the same time: each has its record, and none is taken before those in front of it. */
static void test_queues(void)
{
    struct audit_run run = {.ring = make_ring()};
    struct job first = base(), second = base();
    struct vks_audit_record record[3];

    second.queue = 1;
    second.sequence = vks_state_sequence(1, 6);
    for (int i = 0; i < 3; i++) {
        audit_run_add(&run, &first, START_NS);
        audit_run_add(&run, &second, START_NS);
        first.sequence++;
        second.sequence++;
    }
    CHECK_EQUAL("one each", run.ring->head, 2);
    audit_run_close(&run, 1);
    CHECK_EQUAL("the first is open", vks_audit_peek(run.ring, record, 3), 0);
    audit_run_add(&run, &second, START_NS);
    audit_run_close(&run, 0);
    CHECK_EQUAL("up to the one that is open", vks_audit_peek(run.ring, record, 3), 2);
    audit_run_close_all(&run);
    CHECK_EQUAL("all", vks_audit_peek(run.ring, record, 3), 3);
    for (uint32_t i = 0; i < 3; i++) {
        CHECK_EQUAL("queue", record[i].queue, i != 0);
        CHECK_EQUAL("requests", vks_audit_covered_requests(record[i].covered), i < 2 ? 3 : 1);
    }
    CHECK_EQUAL("first number", record[1].request_sequence, vks_state_sequence(1, 6));
    CHECK_EQUAL("number behind it", record[2].request_sequence, vks_state_sequence(1, 9));
}

int main(void)
{
    state = malloc(vks_state_bytes());
    CHECK("memory", state != NULL);
    test_pairs();
    test_longest();
    test_open_is_invisible();
    test_queues();
    free(state);
    return 0;
}
