/* SPDX-License-Identifier: BSD-3-Clause */
/* vks bench: how many operations a second, and how long each takes, as this guest sees it. */
#include <errno.h>
#include <inttypes.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "commands.h"
#include "session.h"

#define SAMPLES_MAX      (1u << 20) /* of the latencies that come first */
#define REAP_MAX         64
#define OUTPUT_MORE      8192 /* what an output is longer than its input, at most */
#define ANSWER_WAIT_MS   30000
#define NS_A_SECOND      UINT64_C(1000000000)
#define OPERATIONS_COUNT (sizeof(operations) / sizeof(operations[0]))

/* What is measured, the first that the grant has. */
static const uint32_t operations[] = {VKS_OP_SIGN, VKS_OP_ENCRYPT, VKS_OP_MAC};

struct slot {
    struct vks_request request;
    uint64_t sent_ns;
};

struct bench {
    struct vks_device *device;
    struct slot *slots;
    uint8_t *outputs;
    uint32_t *samples; /* ns */
    uint64_t count;
    uint32_t under_way;
};

static uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_A_SECOND + (uint64_t)now.tv_nsec;
}

static int send_slot(struct bench *bench, struct slot *slot, uint64_t now)
{
    int error = vks_enqueue(bench->device, &slot->request);

    if (error)
        return error;
    slot->sent_ns = now;
    bench->under_way++;
    return 0;
}

static int wait_for_answers(const struct bench *bench)
{
    struct pollfd ready = {.fd = vks_poll_fd(bench->device), .events = POLLIN};
    int count;

    do
        count = poll(&ready, 1, ANSWER_WAIT_MS);
    while (count < 0 && errno == EINTR);
    return count == 1 ? 0 : count == 0 ? -ETIMEDOUT : -errno;
}

static void note(struct bench *bench, uint64_t ns)
{
    if (bench->count < SAMPLES_MAX)
        bench->samples[bench->count] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
    bench->count++;
}

/* Takes what is there; before @end_ns each is sent again. The first error ends it, once all have come back. */
static int take(struct bench *bench, uint64_t end_ns)
{
    struct vks_request *finished[REAP_MAX];
    size_t count = REAP_MAX;
    int error = vks_reap(bench->device, finished, &count), first_error = 0;
    uint64_t now = now_ns();

    if (error)
        return error;
    for (size_t i = 0; i < count; i++) {
        struct slot *slot = finished[i]->user_data;

        bench->under_way--;
        note(bench, now - slot->sent_ns);
        error = finished[i]->error;
        if (!error && !first_error && now < end_ns)
            error = send_slot(bench, slot, now);
        if (error && !first_error)
            first_error = error;
    }
    return first_error;
}

static int run(struct bench *bench, uint32_t depth, uint64_t end_ns)
{
    int error = 0, first_error = 0;

    for (uint32_t i = 0; i < depth && !first_error; i++)
        first_error = send_slot(bench, &bench->slots[i], now_ns());
    while (bench->under_way) {
        error = wait_for_answers(bench);
        /* Nobody may free what the device still writes to. */
        if (error)
            return error;
        error = take(bench, first_error ? 0 : end_ns);
        if (error && !first_error)
            first_error = error;
    }
    return first_error;
}

/* One at a time is what a program does that waits for each answer. */
static int run_one_by_one(struct bench *bench, uint64_t end_ns)
{
    struct vks_request *request = &bench->slots[0].request;
    uint64_t sent_ns, now = now_ns();
    int error;

    do {
        sent_ns = now;
        error = vks_submit(bench->device, request);
        now = now_ns();
        note(bench, now - sent_ns);
    } while (!error && now < end_ns);
    return error;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

static void print_result(const struct options *options, struct bench *bench, const struct vks_key *key, uint32_t op,
                         uint64_t ns)
{
    size_t kept = bench->count < SAMPLES_MAX ? (size_t)bench->count : SAMPLES_MAX;
    double seconds = (double)ns / 1e9, a_second = (double)bench->count / seconds, p50_us, p99_us;

    qsort(bench->samples, kept, sizeof(*bench->samples), compare);
    p50_us = bench->samples[kept / 2] / 1e3;
    p99_us = bench->samples[kept * 99 / 100] / 1e3;
    if (options->given & OPTION_JSON) {
        printf("{\"op\": \"%s\", \"key_type\": \"%s\", \"size_bytes\": %" PRIu32 ", \"queue_depth\": %" PRIu32
               ", \"operations\": %" PRIu64 ", \"seconds\": %.3f, \"ops_per_s\": %.1f, \"p50_us\": %.1f, "
               "\"p99_us\": %.1f}\n",
               vks_op_name(op), vks_key_type_name(key->type), options->size, options->depth, bench->count, seconds,
               a_second, p50_us, p99_us);
        return;
    }
    printf("%s  %s, %" PRIu32 " bytes, %" PRIu32 " under way\n", vks_op_name(op), vks_key_type_name(key->type),
           options->size, options->depth);
    printf("%.0f a second  (%" PRIu64 " in %.2f s)\nlatency  p50 %.1f us, p99 %.1f us\n", a_second, bench->count,
           seconds, p50_us, p99_us);
}

/* The operation, or -1: nothing of the kind is granted. */
static int choose(const struct vks_key *key)
{
    for (size_t i = 0; i < OPERATIONS_COUNT; i++)
        if (key->op_mask >> operations[i] & 1)
            return (int)operations[i];
    return -1;
}

static bool prepare(struct bench *bench, const struct session *session, const struct options *options, uint32_t op,
                    const void *input)
{
    size_t output_size = (size_t)options->size + OUTPUT_MORE;

    bench->device = session->device;
    bench->slots = calloc(options->depth, sizeof(*bench->slots));
    bench->outputs = calloc(options->depth, output_size);
    bench->samples = malloc(SAMPLES_MAX * sizeof(*bench->samples));
    if (!bench->slots || !bench->outputs || !bench->samples)
        return false;
    for (uint32_t i = 0; i < options->depth; i++)
        bench->slots[i].request = (struct vks_request){
            .op = op,
            .use = session->use,
            .input = {input, options->size},
            .output = bench->outputs + i * output_size,
            .output_size = output_size,
            .user_data = &bench->slots[i],
        };
    return true;
}

static int complain_run(int error)
{
    if (error == -EAGAIN)
        return complain_words("bench", "the device does not take so many at a time", "a smaller --depth");
    return complain("bench", error);
}

int command_bench(const struct options *options)
{
    struct session session;
    struct bench bench = {0};
    struct buffer input;
    uint64_t start_ns, end_ns;
    int op, error;

    if (!session_begin(options, false, &session))
        return 1;
    op = choose(&session.key);
    if (op < 0) {
        session_end(&session);
        return complain_words("bench", "the key may neither sign nor encrypt nor make MACs here",
                              "'vks list' shows what each key may do");
    }
    error = buffer_alloc(options->size, &input);
    if (!error && !prepare(&bench, &session, options, (uint32_t)op, input.data))
        error = -ENOMEM;
    start_ns = now_ns();
    end_ns = start_ns + options->seconds * NS_A_SECOND;
    if (!error)
        error = options->depth == 1 ? run_one_by_one(&bench, end_ns) : run(&bench, options->depth, end_ns);
    if (!error)
        print_result(options, &bench, &session.key, (uint32_t)op, now_ns() - start_ns);
    session_end(&session);
    /* Where an answer is still away the device may yet write: the process ends, and with it the memory. */
    if (!bench.under_way) {
        free(bench.slots);
        free(bench.outputs);
    }
    free(bench.samples);
    buffer_free(&input);
    return error ? complain_run(error) : 0;
}
