/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A request on its way through the worker: what was asked, the private buffers it works on, what came out.
 *
 * The fast lane has one job that is reused for every request; a slow request gets a job of its own.
 */
#ifndef VKS_WORKER_JOB_H
#define VKS_WORKER_JOB_H

#include <stdbool.h>
#include <stdint.h>

#include "desc_chain.h"
#include "operation.h"
#include "request.h"

enum job_limit {
    /* What goes in, parameter, associated data and input together; what comes out; and both, with their alignment. */
    JOB_FAST_INPUT_BYTES = 24 << 10,
    JOB_FAST_OUTPUT_BYTES = 40 << 10,
    JOB_FAST_BYTES = JOB_FAST_INPUT_BYTES + JOB_FAST_OUTPUT_BYTES + 64,
    JOB_SMALL_INPUT_BYTES = 8 << 10, /* of the slow lane */
    JOB_SMALL_OUTPUT_BYTES = 8 << 10,
    JOB_SMALL_BYTES = JOB_SMALL_INPUT_BYTES + JOB_SMALL_OUTPUT_BYTES + 64,
    JOB_SLOW_BYTES = VKS_PARAMETER_BYTES_MAX + VKS_AAD_BYTES_MAX + VKS_INPUT_BYTES_MAX + VKS_OUTPUT_BYTES_MAX + 64,
    JOB_FEW_SEGMENTS = 16, /* for jobs of which there are many */
};

struct token_job;

struct job {
    struct request request;
    uint32_t status;       /* enum vks_status, or VKS_OPERATION_IN_TOKEN */
    uint32_t output_bytes; /* in output; with OUTPUT_SIZE needed */
    uint32_t mechanism;    /* that was used */
    uint32_t key_version;  /* that was used, 0: none */
    uint64_t generation;   /* of the snapshot that it was decided under */
    uint64_t sequence;     /* in the audit log */
    uint32_t attempt;
    uint32_t queue;       /* whose ring the head belongs to */
    uint32_t ring_run;    /* which life of that ring */
    uint32_t batch_class; /* vks_batch_class; 0: it is run by itself */
    uint16_t head;
    bool set_aside;              /* not run: workers died over it */
    uint8_t *run;                /* enum vks_state_run in state memory: what the lane that runs it marks */
    struct token_job *token;     /* where it waits for a token, if it comes to that */
    uint32_t token_output_bytes; /* what the token has to give, at most */
    struct vks_key *key;         /* borrowed on the fast lane, one reference on the slow lane */
    uint8_t *input;              /* parameter, associated data, input */
    uint8_t *output;             /* behind the input, see job_place */
    uint32_t output_bytes_max;
    uint32_t buffer_bytes; /* from input on */
    uint32_t left_bytes;   /* of it that requests have left something in, see job_rest */
    struct vks_desc_chain chain;
};

/*
 * Map a buffer for so many segments and bytes, kept out of core dumps, unless it has one: most jobs of a guest that is
 * idle never have any, and a page is used when it is written to. Without memory the worker ends; its successor may have
 * some.
 */
void job_prepare(struct job *job, uint32_t segments_max, uint32_t buffer_bytes);
/* The output's place, behind *payload_bytes* of input: what is small is in one page. 0, or -ENOSPC. */
__attribute__((warn_unused_result)) int job_place(struct job *job, uint32_t payload_bytes);
/*
 * Run the operation of an accepted request on the private copy, which the slow lane wipes then, but for what has to go
 * to a token. Sets status and output_bytes.
 */
void job_run(struct job *job, enum vks_lane lane);
/* The same for several of one batch class. */
void job_run_batch(struct job *const jobs[], uint32_t count, enum vks_lane lane);
/* Wipe what the operation wrote. */
void job_wipe_output(struct job *job);
/*
 * The same for jobs of the fast lane, which are used again at once: the next request overwrites what is left, and
 * job_rest wipes it before the worker sleeps.
 */
void job_leave_output(struct job *job);
void job_rest(struct job *job);
/* Hand a decided request over to a job that has room for its segments; its payload is not copied yet. */
void job_move(struct job *to, const struct job *from);

#endif
