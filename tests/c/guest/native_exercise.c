/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What tests of the native transport do with libvks, where a command of vks is not enough:
 *   native_exercise DEVICE COMMAND [COUNT]      prints what it saw; 0 unless something broke
 * The guest has the keys "box" (AES) and "sig" (Ed25519).
 */
#define _GNU_SOURCE
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "vks.h"

#define THREADS       8
#define NONCE_AND_TAG 28

static struct vks_device *device;
static struct vks_use box, sig;
static unsigned int count;
static atomic_uint rounds;
static atomic_bool is_told;

static void die(const char *what, int error)
{
    fprintf(stderr, "%s: %s (%d)\n", what, vks_error_text(error), error);
    _exit(1);
}

static void say(const char *text)
{
    puts(text);
    fflush(stdout);
}

/* Until the test has written a line. */
static void wait_for_test(void)
{
    char line[16];

    if (!fgets(line, sizeof(line), stdin))
        die("stdin", -EPIPE);
}

static struct vks_use use_of(const char *label)
{
    struct vks_use use = {.mechanism = 0};
    struct vks_key key;
    int error = vks_find_key(device, label, 0, &key);

    if (error)
        die(label, error);
    memcpy(use.key_id, key.id, sizeof(use.key_id));
    return use;
}

static void *allocate(size_t size)
{
    void *memory = calloc(1, size + 1);

    if (!memory)
        die("memory", -ENOMEM);
    return memory;
}

static void fill(uint8_t *data, size_t size, unsigned int seed)
{
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)(i * 7 + (i >> 8) + seed * 31);
}

/* What comes back is what went in, and is of this request and no other. */
static void round_trip(size_t size, unsigned int seed)
{
    uint8_t *text = allocate(size), *sealed = allocate(size + NONCE_AND_TAG), *opened = allocate(size);
    struct vks_bytes none = {0};
    size_t sealed_size = size + NONCE_AND_TAG, opened_size = size;
    int error;

    fill(text, size, seed);
    error = vks_encrypt(device, &box, none, none, (struct vks_bytes){text, size}, sealed, &sealed_size);
    if (error)
        die("encrypt", error);
    error = vks_decrypt(device, &box, none, none, (struct vks_bytes){sealed, sealed_size}, opened, &opened_size);
    if (error)
        die("decrypt", error);
    if (opened_size != size || memcmp(text, opened, size) != 0)
        die("another text", -EPROTO);
    free(text);
    free(sealed);
    free(opened);
}

static void sign_and_verify(unsigned int seed)
{
    uint8_t message[64], signature[64];
    size_t size = sizeof(signature);
    int error;

    fill(message, sizeof(message), seed);
    error = vks_sign(device, &sig, (struct vks_bytes){message, sizeof(message)}, signature, &size);
    if (error)
        die("sign", error);
    error = vks_verify(device, &sig, (struct vks_bytes){message, sizeof(message)}, (struct vks_bytes){signature, size});
    if (error)
        die("verify", error);
}

static void *work(void *argument)
{
    unsigned int me = *(const unsigned int *)argument;

    for (unsigned int i = 0; i < count && !atomic_load(&is_told); i++) {
        unsigned int seed = me * 100000 + i;

        sign_and_verify(seed);
        /* Some larger than a slot, and now and then one of 700 KB. */
        round_trip(i % 50 == 7 ? 700000 : seed * 37 % 40000, seed);
        if (atomic_fetch_add(&rounds, 1) % 100 == 99)
            say("more");
    }
    return NULL;
}

static void in_threads(void *(*function)(void *))
{
    static unsigned int numbers[THREADS];
    pthread_t threads[THREADS];

    for (unsigned int i = 0; i < THREADS; i++) {
        numbers[i] = i;
        if (pthread_create(&threads[i], NULL, function, &numbers[i]))
            die("thread", -EAGAIN);
    }
    for (unsigned int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

static void threads(void)
{
    in_threads(work);
    printf("rounds %u\n", atomic_load(&rounds));
}

/* They have to get on once more before they may end. */
static void *listen(void *argument)
{
    unsigned int wanted;

    wait_for_test();
    wanted = atomic_load(&rounds) + 200;
    while (atomic_load(&rounds) < wanted)
        usleep(1000);
    atomic_store(&is_told, true);
    return argument;
}

static void until_told(void)
{
    pthread_t listener;

    count = UINT32_MAX;
    if (pthread_create(&listener, NULL, listen, NULL))
        die("thread", -EAGAIN);
    in_threads(work);
    pthread_join(listener, NULL);
    say("every answer was right");
}

static pthread_barrier_t start;

/* All begin together and nobody comes later: whoever is done first has to leave the ring to one who still waits. */
static void *take_part(void *argument)
{
    unsigned int me = *(const unsigned int *)argument;

    for (unsigned int i = 0; i < count; i++) {
        pthread_barrier_wait(&start);
        round_trip((me + i) % 3 ? 100 : 500000, i);
    }
    return NULL;
}

static void together(void)
{
    pthread_barrier_init(&start, NULL, THREADS);
    in_threads(take_part);
    say("nobody was left behind");
}

#define BATCH_STEP 350

/* More than the shared memory holds at a time; each has its own answer. */
static void batch(void)
{
    struct vks_request *requests = allocate(VKS_IOC_BATCH_MAX * sizeof(*requests));
    size_t room = (VKS_IOC_BATCH_MAX - 1) * BATCH_STEP + NONCE_AND_TAG;
    unsigned int good = 0, refused = 0;
    uint8_t *text = allocate(room), *outputs = allocate(VKS_IOC_BATCH_MAX * room);
    int error;

    fill(text, room, 1);
    for (unsigned int i = 0; i < VKS_IOC_BATCH_MAX; i++) {
        requests[i] = (struct vks_request){.op = VKS_OP_ENCRYPT,
                                           .use = box,
                                           .input = {text, i * BATCH_STEP},
                                           .output = outputs + i * room,
                                           .output_size = room};
        if (i % 5 == 1)
            requests[i].use.key_id[0] ^= 1;
    }
    error = vks_submit_batch(device, requests, VKS_IOC_BATCH_MAX);
    if (error)
        die("batch", error);
    for (unsigned int i = 0; i < VKS_IOC_BATCH_MAX; i++) {
        struct vks_bytes none = {0}, sealed = {requests[i].output, requests[i].output_written};
        uint8_t *opened = allocate(room);
        size_t size = room;

        if (i % 5 == 1 && requests[i].error == VKS_STATUS_NO_KEY) {
            refused++;
        } else if (i % 5 != 1 && requests[i].error == 0 &&
                   vks_decrypt(device, &box, none, none, sealed, opened, &size) == 0 && size == i * BATCH_STEP &&
                   memcmp(opened, text, size) == 0) {
            good++;
        } else {
            die("in batch", requests[i].error);
        }
        free(opened);
    }
    free(requests);
    free(text);
    free(outputs);
    printf("good %u refused %u\n", good, refused);
}

static uint8_t outputs[VKS_IOC_PENDING_MAX][4096];
static struct vks_request requests[VKS_IOC_PENDING_MAX];

static int enqueue(unsigned int slot)
{
    requests[slot] = (struct vks_request){.op = VKS_OP_ENCRYPT,
                                          .use = box,
                                          .input = {outputs, 2000 + slot},
                                          .output = outputs[slot],
                                          .output_size = sizeof(outputs[slot]),
                                          .user_data = &requests[slot]};
    return vks_enqueue(device, &requests[slot]);
}

static unsigned int reap(struct vks_request **finished, size_t room)
{
    int error = vks_reap(device, finished, &room);

    if (error)
        die("reap", error);
    return (unsigned int)room;
}

static void wait_for_one(void)
{
    struct pollfd ready = {.fd = vks_poll_fd(device), .events = POLLIN};

    if (poll(&ready, 1, 60000) != 1)
        die("poll", -ETIMEDOUT);
}

static bool is_readable(void)
{
    struct pollfd ready = {.fd = vks_poll_fd(device), .events = POLLIN};

    return poll(&ready, 1, 0) == 1;
}

/* As many as are taken, then whatever finishes is sent again, until @count were through. */
static void asynchronous(void)
{
    struct vks_request *finished[32];
    unsigned int sent = 0, done = 0, got;
    int error;

    for (unsigned int slot = 0; slot < VKS_IOC_PENDING_MAX; slot++, sent++)
        if ((error = enqueue(slot)))
            die("enqueue", error);
    error = vks_enqueue(device, &(struct vks_request){.op = VKS_OP_RANDOM});
    if (error != -EAGAIN)
        die("one too many", error);
    while (done < sent) {
        wait_for_one();
        got = reap(finished, 32);
        for (unsigned int i = 0; i < got; i++, done++) {
            unsigned int slot = (unsigned int)(finished[i] - requests);

            if (finished[i]->error || finished[i]->output_written != 2000 + slot + NONCE_AND_TAG)
                die("answer", finished[i]->error);
            if (sent < count && sent++ && (error = enqueue(slot)))
                die("enqueue again", error);
        }
    }
    while (is_readable())
        if (reap(finished, 32))
            die("one more than was sent", -EPROTO);
    printf("done %u\n", done);
}

/* Reaps before there is anything, then sleeps: what comes just then must still be told of. */
static void impatient(void)
{
    struct vks_request *finished[1];
    int error;

    for (unsigned int i = 0; i < count; i++) {
        unsigned int looks = i % 16, got = 0;

        if ((error = enqueue(0)))
            die("enqueue", error);
        while (!got && looks--)
            got = reap(finished, 1);
        while (!got) {
            wait_for_one();
            got = reap(finished, 1);
        }
    }
    say("nothing was missed");
}

/* Whoever does not reap holds up nobody: what has finished lies in no shared memory. */
static void unreaped(void)
{
    static uint8_t large[16][600000 + NONCE_AND_TAG];
    static struct vks_request these[16];
    struct vks_request *finished[16];
    unsigned int done = 0;
    int error;

    for (unsigned int i = 0; i < 16; i++) {
        these[i] = (struct vks_request){.op = VKS_OP_ENCRYPT,
                                        .use = box,
                                        .input = {large, 600000},
                                        .output = large[i],
                                        .output_size = sizeof(large[i])};
        if ((error = vks_enqueue(device, &these[i])))
            die("enqueue", error);
    }
    for (unsigned int i = 0; i < count; i++)
        round_trip(1000000, i);
    while (done < 16) {
        unsigned int got;

        wait_for_one();
        got = reap(finished, 16);
        for (unsigned int i = 0; i < got; i++, done++)
            if (finished[i]->error)
                die("answer", finished[i]->error);
    }
    say("all");
}

static int submit_random(void)
{
    uint8_t bytes[16];

    return vks_random(device, bytes, sizeof(bytes));
}

static void in_child(void)
{
    struct vks_request request = {.op = VKS_OP_RANDOM}, *finished;
    size_t room = 1;

    if (submit_random() != -EBADF || vks_submit_batch(device, &request, 1) != -EBADF ||
        vks_enqueue(device, &request) != -EBADF || vks_reap(device, &finished, &room) != -EBADF)
        _exit(1);
    vks_close(device);
    _exit(0);
}

static void *fork_storm(void *argument)
{
    for (unsigned int i = 0; i < count; i++) {
        int status = 0;
        pid_t child;

        sign_and_verify(i);
        child = fork();
        if (child == 0)
            in_child();
        if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
            die("child", -ECHILD);
    }
    return argument;
}

static void forks(void)
{
    in_threads(fork_storm);
    round_trip(100, 1);
    say("parent goes on");
}

static void *lose(void *argument)
{
    int error;

    while ((error = submit_random()) == 0)
        atomic_fetch_add(&rounds, 1);
    if (error != -ENODEV)
        die("waiting", error);
    return argument;
}

/*
 * The device goes while threads wait (where there is a @count) and others have not reaped; then it comes back under its
 * name.
 */
static void lost(void)
{
    struct vks_request *finished[8];
    unsigned int gone = 0;
    int error;

    say("ready");
    wait_for_test();
    for (unsigned int slot = 0; slot < 8; slot++)
        if ((error = enqueue(slot)))
            die("enqueue", error);
    say("sent");
    if (count)
        in_threads(lose);
    wait_for_one();
    if (count && submit_random() != -ENODEV)
        die("before it was reaped", -EPROTO);
    if (reap(finished, 8) != 8)
        die("reaped", -EPROTO);
    if (is_readable())
        die("readable over nothing", -EPROTO);
    for (unsigned int i = 0; i < 8; i++)
        gone += finished[i]->error == -ENODEV;
    printf("lost %u\n", gone);
    error = submit_random();
    printf("without: %s\n", vks_error_text(error));
    say("waiting");
    wait_for_test();
    error = submit_random();
    printf("again: %s\n", vks_error_text(error));
}

static const struct {
    const char *name;
    void (*run)(void);
} commands[] = {
    {"threads", threads},     {"until_told", until_told}, {"together", together},
    {"impatient", impatient}, {"batch", batch},           {"asynchronous", asynchronous},
    {"unreaped", unreaped},   {"forks", forks},           {"lost", lost},
};

int main(int argc, char *argv[])
{
    int error;

    if (argc < 3)
        return 2;
    count = argc > 3 ? (unsigned int)atoi(argv[3]) : 1;
    error = vks_open(argv[1], &device);
    if (error)
        die("open", error);
    box = use_of("box");
    sig = use_of("sig");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(commands[i].name, argv[2]) == 0)
            commands[i].run();
    vks_close(device);
    return 0;
}
