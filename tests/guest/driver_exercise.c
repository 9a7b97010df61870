/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What tests of the driver do inside the guest, over libvks where it can say it and over bare ioctls where it must not:
 *   exercise COMMAND [ARGUMENT]      prints what it saw, one fact a line; 0 unless something broke
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "transport.h"
#include "vks.h"

static struct vks_device *device;

static struct vks_use courier(void)
{
    struct vks_use use = {.mechanism = 0};

    for (uint8_t i = 0; i < VKS_KEY_ID_BYTES; i++)
        use.key_id[i] = i;
    return use;
}

static void die(const char *what, int error)
{
    fprintf(stderr, "%s: %s (%d)\n", what, vks_error_text(error), error);
    exit(1);
}

static uint8_t *pattern(size_t size, uint8_t seed)
{
    uint8_t *data = malloc(size + 1);

    if (!data)
        die("malloc", -ENOMEM);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8) + seed);
    return data;
}

/* The device gives back parameter, aad and input in reverse order: every byte went both ways, at its place. */
static void check_reverse(const uint8_t *output, size_t output_size, const uint8_t *input, size_t size)
{
    if (output_size != size)
        die("size", -EPROTO);
    for (size_t i = 0; i < size; i++) {
        if (output[i] != input[size - 1 - i])
            die("content", -EPROTO);
    }
}

static void round_trip(size_t size, uint8_t seed)
{
    uint8_t *input = pattern(size, seed), *output = calloc(1, size + 64);
    struct vks_use use = courier();
    size_t output_size = size + 64;
    int error = vks_encrypt(device, &use, (struct vks_bytes){0}, (struct vks_bytes){0}, (struct vks_bytes){input, size},
                            output, &output_size);

    if (error)
        die("encrypt", error);
    check_reverse(output, output_size, input, size);
    free(input);
    free(output);
}

static void sizes(const char *argument)
{
    static const size_t table[] = {0,     1,     71,    4023,   4024,   4025,    4096,   32767,
                                   32768, 32769, 65536, 100000, 524288, 1048575, 1048576};

    (void)argument;
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
        round_trip(table[i], (uint8_t)i);
    puts("sizes ok");
}

static void all_parts(const char *argument)
{
    uint8_t *parameter = pattern(VKS_PARAMETER_BYTES_MAX, 1), *aad = pattern(VKS_AAD_BYTES_MAX, 2);
    uint8_t *input = pattern(100001, 3), *output = malloc(200000);
    struct vks_use use = courier();
    size_t size = 200000;
    int error =
        vks_encrypt(device, &use, (struct vks_bytes){parameter, VKS_PARAMETER_BYTES_MAX},
                    (struct vks_bytes){aad, VKS_AAD_BYTES_MAX}, (struct vks_bytes){input, 100001}, output, &size);

    (void)argument;
    if (error)
        die("encrypt", error);
    if (size != VKS_PARAMETER_BYTES_MAX + VKS_AAD_BYTES_MAX + 100001)
        die("size", -EPROTO);
    check_reverse(output + size - VKS_PARAMETER_BYTES_MAX, VKS_PARAMETER_BYTES_MAX, parameter, VKS_PARAMETER_BYTES_MAX);
    check_reverse(output, 100001, input, 100001);
    puts("parts ok");
}

/* A batch with good, foreign-key and impossible requests: each has its own answer. */
static void batch(const char *argument)
{
    size_t count = argument ? (size_t)atoi(argument) : 64, good = 0, refused = 0;
    struct vks_request *requests = calloc(count, sizeof(*requests));
    uint8_t *input = pattern(70000, 9), *output = malloc(count * 70000);
    int error;

    for (size_t i = 0; i < count; i++) {
        requests[i] = (struct vks_request){.op = VKS_OP_ENCRYPT,
                                           .use = courier(),
                                           .input = {input, i * 1000 % 70000},
                                           .output = output + i * 70000,
                                           .output_size = 70000};
        if (i % 3 == 1)
            requests[i].use.key_id[0] = 0x55;
    }
    error = vks_submit_batch(device, requests, count);
    if (error)
        die("batch", error);
    for (size_t i = 0; i < count; i++) {
        if (i % 3 == 1 && requests[i].error == VKS_STATUS_NO_KEY) {
            refused++;
        } else if (i % 3 != 1 && requests[i].error == 0) {
            check_reverse(requests[i].output, requests[i].output_written, input, i * 1000 % 70000);
            good++;
        } else {
            die("in batch", requests[i].error);
        }
    }
    printf("batch good %zu refused %zu\n", good, refused);
}

/* Enqueues until told to wait, reaps by poll, until @argument requests were through. */
static void asynchronous(const char *argument)
{
    size_t wanted = argument ? (size_t)atoi(argument) : 1000, sent = 0, reaped = 0, waits = 0;
    static struct vks_request requests[VKS_IOC_PENDING_MAX];
    static uint8_t outputs[VKS_IOC_PENDING_MAX][600];
    struct vks_request *free_list[VKS_IOC_PENDING_MAX], *finished[32];
    size_t free_count = 0;
    uint8_t *input = pattern(600, 4);

    for (size_t i = 0; i < VKS_IOC_PENDING_MAX; i++)
        free_list[free_count++] = &requests[i];
    while (reaped < wanted) {
        size_t count = 32;
        int error = 0;

        while (sent < wanted && free_count && !error) {
            struct vks_request *request = free_list[free_count - 1];
            size_t slot = (size_t)(request - requests);

            *request = (struct vks_request){.op = VKS_OP_ENCRYPT,
                                            .use = courier(),
                                            .input = {input, sent % 600},
                                            .output = outputs[slot],
                                            .output_size = sizeof(outputs[slot]),
                                            .user_data = (void *)(sent % 600)};
            error = vks_enqueue(device, request);
            if (error && error != -EAGAIN)
                die("enqueue", error);
            if (!error) {
                free_count--;
                sent++;
            }
        }
        error = vks_reap(device, finished, &count);
        if (error)
            die("reap", error);
        if (!count) {
            struct pollfd wait = {.fd = vks_poll_fd(device), .events = POLLIN};

            waits++;
            if (poll(&wait, 1, 10000) != 1 || !(wait.revents & POLLIN))
                die("poll", -ETIMEDOUT);
        }
        for (size_t i = 0; i < count; i++) {
            if (finished[i]->error)
                die("reaped", finished[i]->error);
            check_reverse(finished[i]->output, finished[i]->output_written, input, (size_t)finished[i]->user_data);
            free_list[free_count++] = finished[i];
        }
        reaped += count;
    }
    printf("async %zu\n", reaped);
}

/* How many can be outstanding while the device says nothing; the file is closed with all of them. */
static void flood(const char *argument)
{
    uint8_t *data = pattern(1 << 20, 1);
    struct vks_request request = {
        .op = VKS_OP_ENCRYPT, .use = courier(), .output = data, .output_size = (size_t)atoi(argument)};
    size_t count = 0;
    struct pollfd state = {.fd = vks_poll_fd(device), .events = POLLIN | POLLOUT};
    int error;

    request.input = (struct vks_bytes){data, (size_t)atoi(argument)};
    while ((error = vks_enqueue(device, &request)) == 0)
        count++;
    poll(&state, 1, 0);
    printf("flood %zu error %d revents %d\n", count, error, state.revents);
}

struct hammer {
    pthread_t thread;
    unsigned int seed;
};

static void *hammer_run(void *context)
{
    struct hammer *hammer = context;

    for (unsigned int i = 0; i < 200; i++)
        round_trip(rand_r(&hammer->seed) % (i % 20 ? 3000 : 200000), (uint8_t)i);
    return NULL;
}

static void threads(const char *argument)
{
    struct hammer hammers[8];

    (void)argument;
    for (unsigned int i = 0; i < 8; i++) {
        hammers[i].seed = i;
        if (pthread_create(&hammers[i].thread, NULL, hammer_run, &hammers[i]))
            die("thread", -EAGAIN);
    }
    for (unsigned int i = 0; i < 8; i++)
        pthread_join(hammers[i].thread, NULL);
    puts("threads ok");
}

/* Raw ioctls with every pointer and length wrong: the errno of each. */
static void hostile(const char *argument)
{
    int fd = vks_poll_fd(device);
    struct vks_ioc_request request = {0};
    struct vks_ioc_batch batch = {0};
    void *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    char byte;

    (void)argument;
#define SAY(name, call) printf("%s %d\n", name, (call) < 0 ? errno : 0)
#define TRY(name, field, value)                                                                                        \
    do {                                                                                                               \
        request = (struct vks_ioc_request){.head = {.opcode = VKS_OP_ENCRYPT, .abi_version = VKS_ABI_VERSION}};        \
        memcpy(request.head.key_id, courier().key_id, sizeof(request.head.key_id));                                    \
        request.field = value;                                                                                         \
        SAY(name, ioctl(fd, VKS_IOC_SUBMIT, &request));                                                                \
    } while (0)
    TRY("parameter-huge", head.parameter_bytes, UINT32_MAX);
    TRY("aad-huge", head.aad_bytes, UINT32_MAX);
    TRY("input-huge", head.input_bytes, UINT32_MAX);
    TRY("output-huge", head.output_bytes, UINT32_MAX);
    TRY("input-over", head.input_bytes, VKS_INPUT_BYTES_MAX + 1);
    TRY("output-over", head.output_bytes, VKS_OUTPUT_BYTES_MAX + 1);
    TRY("input-null", head.input_bytes, 1);
    TRY("parameter-null", head.parameter_bytes, 1);
    TRY("aad-null", head.aad_bytes, 1);
    SAY("request-null", ioctl(fd, VKS_IOC_SUBMIT, NULL));
    SAY("request-bad", ioctl(fd, VKS_IOC_SUBMIT, bad));
    SAY("request-kernel", ioctl(fd, VKS_IOC_SUBMIT, (void *)0xffff800000000000UL));
    SAY("enqueue-bad", ioctl(fd, VKS_IOC_ENQUEUE, bad));
    SAY("batch-bad", ioctl(fd, VKS_IOC_SUBMIT_BATCH, bad));
    SAY("batch-empty", ioctl(fd, VKS_IOC_SUBMIT_BATCH, &batch));
    batch.count = VKS_IOC_BATCH_MAX + 1;
    SAY("batch-over", ioctl(fd, VKS_IOC_SUBMIT_BATCH, &batch));
    SAY("reap-over", ioctl(fd, VKS_IOC_REAP, &batch));
    batch.count = 2;
    batch.requests_ptr = (uintptr_t)bad;
    SAY("batch-array-bad", ioctl(fd, VKS_IOC_SUBMIT_BATCH, &batch));
    printf("batch-array-bad-done %u\n", batch.done);
    SAY("reap-nothing", ioctl(fd, VKS_IOC_REAP, &batch));
    SAY("command-unknown", ioctl(fd, _IO('K', 0x7f), 0));
    SAY("command-foreign", ioctl(fd, _IO('T', 0x01), 0));
    SAY("read", read(fd, &byte, 1));
    SAY("mmap", mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0) == MAP_FAILED ? -1 : 0);
}

/* An output that cannot be written to: the call fails, an asynchronous one says so in its own error. */
static void output_fault(const char *argument)
{
    void *bad = mmap(NULL, 4096, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    struct vks_request request = {
        .op = VKS_OP_ENCRYPT, .use = courier(), .input = {"abc", 3}, .output = bad, .output_size = 64};
    struct vks_request *finished;
    struct pollfd wait = {.fd = vks_poll_fd(device), .events = POLLIN};
    size_t count = 1;

    (void)argument;
    printf("submit %d\n", vks_submit(device, &request));
    if (vks_enqueue(device, &request) || poll(&wait, 1, 10000) != 1 || vks_reap(device, &finished, &count) ||
        count != 1)
        die("asynchronous", -EIO);
    printf("reaped %d\n", request.error);
}

/* The head as a caller must not be able to set it. */
static void forge(const char *argument)
{
    struct vks_ioc_request request = {
        .head = {.opcode = 0x11223300 | VKS_OP_RANDOM,
                 .cookie = 0x4141414141414141,
                 .uid = 4242,
                 .flags = VKS_REQUEST_F_UID,
                 .reserved0 = 7,
                 .reserved1 = 8,
                 .output_bytes = 16,
                 .abi_version = VKS_ABI_VERSION},
    };
    uint8_t output[16];

    (void)argument;
    request.output_ptr = (uintptr_t)output;
    if (ioctl(vks_poll_fd(device), VKS_IOC_SUBMIT, &request))
        die("submit", -errno);
    printf("forge status %u opcode %x cookie %llx\n", request.status, request.head.opcode,
           (unsigned long long)request.head.cookie);
}

/* Opens, gives up its rights, and uses the device: the opener's uid goes with the request. */
static void opener(const char *argument)
{
    uint8_t byte;

    if (setresuid((uid_t)atoi(argument), (uid_t)atoi(argument), (uid_t)atoi(argument)))
        die("setresuid", -errno);
    printf("random %d\n", vks_random(device, &byte, 1));
}

/* Waits for an answer that does not come; the test kills it, or takes the device away. */
static void wait_for_answer(const char *argument)
{
    uint8_t byte;

    (void)argument;
    puts("waiting");
    fflush(stdout);
    printf("random %d\n", vks_random(device, &byte, 1));
    printf("again %d\n", vks_random(device, &byte, 1));
}

/* Asynchronous requests, and a poll that sees the device go. */
static void wait_for_removal(const char *argument)
{
    static uint8_t output[16];
    struct vks_request requests[3], *finished[3];
    struct pollfd state = {.fd = vks_poll_fd(device), .events = 0};
    size_t count = 3;

    (void)argument;
    for (int i = 0; i < 3; i++) {
        requests[i] = (struct vks_request){.op = VKS_OP_RANDOM, .output = output, .output_size = 16};
        if (vks_enqueue(device, &requests[i]))
            die("enqueue", -EIO);
    }
    puts("waiting");
    fflush(stdout);
    if (poll(&state, 1, 20000) != 1)
        die("poll", -ETIMEDOUT);
    printf("revents %d\n", state.revents);
    if (vks_reap(device, finished, &count))
        die("reap", -EIO);
    printf("reaped %zu errors %d %d %d\n", count, requests[0].error, requests[1].error, requests[2].error);
    printf("enqueue %d\n", vks_enqueue(device, &requests[0]));
    count = 3;
    if (vks_reap(device, finished, &count))
        die("reap", -EIO);
    printf("late %zu error %d\n", count, requests[0].error);
}

/* A handler's signal must not cost the answer. */
static void on_signal(int number)
{
    (void)number;
}

static void interrupted(const char *argument)
{
    struct sigaction action = {.sa_handler = on_signal};
    uint8_t byte;

    (void)argument;
    sigaction(SIGUSR1, &action, NULL);
    puts("waiting");
    fflush(stdout);
    printf("random %d\n", vks_random(device, &byte, 1));
}

/* Children that are killed while they wait, again and again, beside one that works on. */
static void killing(const char *argument)
{
    for (int i = 0; i < atoi(argument); i++) {
        pid_t child = fork();

        if (child == 0) {
            for (;;)
                round_trip(50000, (uint8_t)i);
        }
        usleep((useconds_t)(500 + i % 7 * 700));
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        round_trip(1000, (uint8_t)i);
    }
    puts("killing ok");
}

/*
 * Lets the n-th allocation of a call fail, for every n until none is left (Documentation/fault-injection: fail-nth).
 * 1: it was reached.
 */
static int with_failure(int fail, int n, int (*call)(struct vks_request *request), struct vks_request *request,
                        int *error)
{
    char text[16];
    int left;

    snprintf(text, sizeof(text), "%d", n);
    if (pwrite(fail, text, strlen(text), 0) < 0)
        die("fail-nth", -errno);
    *error = call(request);
    memset(text, 0, sizeof(text));
    if (pread(fail, text, sizeof(text) - 1, 0) < 0)
        die("fail-nth", -errno);
    left = atoi(text);
    if (pwrite(fail, "0", 1, 0) < 0)
        die("fail-nth", -errno);
    return left == 0;
}

static int call_submit(struct vks_request *request)
{
    return vks_submit(device, request);
}

static int call_open(struct vks_request *request)
{
    struct vks_device *other;
    int error = vks_open(NULL, &other);

    (void)request;
    if (!error)
        vks_close(other);
    return error;
}

static int call_enqueue(struct vks_request *request)
{
    int error = vks_enqueue(device, request);
    struct pollfd wait = {.fd = vks_poll_fd(device), .events = POLLIN};
    struct vks_request *finished;
    size_t count = 1;

    if (error)
        return error;
    if (poll(&wait, 1, 10000) != 1)
        die("poll", -ETIMEDOUT);
    error = vks_reap(device, &finished, &count);
    return error ? error : request->error;
}

static void fail_allocations(const char *argument)
{
    static int (*const calls[])(struct vks_request *) = {call_submit, call_enqueue, call_open};
    int fail = open("/proc/thread-self/fail-nth", O_RDWR);
    size_t size = (size_t)atoi(argument);
    uint8_t *input = pattern(size, 3), *output = malloc(size + 1);

    if (fail < 0)
        die("open fail-nth", -errno);
    for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        int reached = 1, refused = 0, survived = 0;

        for (int n = 1; reached && n < 1000; n++) {
            struct vks_request request = {
                .op = VKS_OP_ENCRYPT, .use = courier(), .input = {input, size}, .output = output, .output_size = size};
            int error;

            reached = with_failure(fail, n, calls[i], &request, &error);
            if (error && error != -ENOMEM)
                die("not ENOMEM", error);
            if (!error && calls[i] != call_open)
                check_reverse(output, request.output_written, input, size);
            refused += error != 0;
            survived += error == 0;
        }
        printf("call %zu refused %d survived %d\n", i, refused, survived);
    }
}

/* One signature each way it can be asked for; the first error. */
static int sign_both_ways(const struct vks_use *use)
{
    struct vks_bytes message = {"message", 7};
    uint8_t signature[64];
    struct vks_request request = {
        .op = VKS_OP_SIGN, .use = *use, .input = message, .output = signature, .output_size = sizeof(signature)};
    struct vks_request *finished = NULL;
    size_t size = sizeof(signature), count = 1;
    struct pollfd ready = {.fd = vks_poll_fd(device), .events = POLLIN};
    int error = vks_sign(device, use, message, signature, &size);

    if (!error)
        error = vks_enqueue(device, &request);
    if (error)
        return error;
    if (poll(&ready, 1, 20000) != 1)
        die("poll", -ETIMEDOUT);
    error = vks_reap(device, &finished, &count);
    return error ? error : count == 1 ? finished->error : -EPROTO;
}

/* Works on and on with one open device, and says whenever it goes better or worse than before. */
static void keep_on(const char *argument)
{
    struct vks_key key;
    int error = vks_find_key(device, argument, 0, &key), last = 1;
    struct vks_use use = {0};

    if (error)
        die("find key", error);
    memcpy(use.key_id, key.id, sizeof(use.key_id));
    for (;; usleep(20000)) {
        error = sign_both_ways(&use);
        if (error != last)
            printf("%s\n", error ? vks_error_text(error) : "signed");
        fflush(stdout);
        last = error;
    }
}

static const struct {
    const char *name;
    void (*run)(const char *argument);
} commands[] = {
    {"keep-on", keep_on},
    {"sizes", sizes},
    {"all-parts", all_parts},
    {"batch", batch},
    {"async", asynchronous},
    {"flood", flood},
    {"threads", threads},
    {"hostile", hostile},
    {"output-fault", output_fault},
    {"forge", forge},
    {"opener", opener},
    {"wait", wait_for_answer},
    {"wait-for-removal", wait_for_removal},
    {"interrupted", interrupted},
    {"killing", killing},
    {"fail-allocations", fail_allocations},
};

int main(int argc, char *argv[])
{
    int error = vks_open(NULL, &device);

    if (error)
        die("open", error);
    for (size_t i = 0; argc > 1 && i < sizeof(commands) / sizeof(commands[0]); i++) {
        if (strcmp(commands[i].name, argv[1]) == 0) {
            commands[i].run(argc > 2 ? argv[2] : NULL);
            vks_close(device);
            return 0;
        }
    }
    return 2;
}
