/* SPDX-License-Identifier: Apache-2.0 */
/* A worker's set-up and its main loop. What goes wrong before it is sealed is told in one line on stderr. */
#define _GNU_SOURCE
#include "worker.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "crypto_process.h"
#include "engine.h"
#include "guest_fault.h"
#include "registers.h"
#include "sandbox.h"
#include "secret_arena.h"
#include "worker_calls.h"

enum {
    AUDIT_ROOM_POLL_MS = 10,
    /* The sockets, eventfds and rings of a worker, and as many regions as a message brings. */
    DESCRIPTORS_MAX = VKS_IPC_FDS_MAX + 32,
};

static struct worker worker;

static _Noreturn void fail(const char *what, int error)
{
    fprintf(stderr, "vks-worker: %s: %s\n", what, strerror(-error));
    _exit(1);
}

static int map_state(int state_fd)
{
    struct stat stat;
    void *state;

    if (fstat(state_fd, &stat))
        return -errno;
    if (stat.st_size < (off_t)vks_state_bytes())
        return -EPROTO;
    state = mmap(NULL, vks_state_bytes(), PROT_READ | PROT_WRITE, MAP_SHARED, state_fd, 0);
    close(state_fd);
    if (state == MAP_FAILED)
        return -errno;
    if (vks_state_check(state, (uint64_t)stat.st_size))
        return -EPROTO;
    for (uint32_t i = 0; i < worker.lane_count; i++) {
        inflight_open(&worker.lane[i].ring.inflight, state, i);
        worker.lane[i].latency.state = state;
    }
    worker.audit.ring = vks_state_audit(state);
    return 0;
}

/* keystored sealed its size, or a worker could take the page from under the others. */
static int map_board(int board_fd, uint32_t places)
{
    int seals = fcntl(board_fd, F_GET_SEALS);
    struct stat stat;
    void *board;

    if (places > VKS_POLL_PLACES_MAX || fstat(board_fd, &stat) || stat.st_size < (off_t)sizeof(*worker.board) ||
        seals < 0 || !(seals & F_SEAL_SHRINK))
        return -EPROTO;
    board = mmap(NULL, sizeof(*worker.board), PROT_READ | PROT_WRITE, MAP_SHARED, board_fd, 0);
    close(board_fd);
    if (board == MAP_FAILED)
        return -errno;
    worker.board = board;
    worker.poll_places = places;
    return 0;
}

static int say_ready(void)
{
    struct vks_ipc_head head = {.type = VKS_WORKER_READY};
    struct vks_worker_ready ready = {
        .secret_memory = vks_secret_arena_memory(),
        .libcrypto_version = (uint32_t)(OpenSSL_version_num() >> 4),
        .sandbox = worker.sandbox,
        .accelerated = vks_engines_used(),
    };
    struct vks_ipc_part part = {&ready, sizeof(ready)};

    return vks_ipc_send(worker.control_fd, &head, &part, 1, NULL, 0);
}

/* A kick is only a reason to look at the ring. A descriptor that cannot be read would be ready for ever. */
static void read_kick(struct lane *lane)
{
    uint64_t kicks[8];
    ssize_t got;

    do
        got = read(lane->ring.kick_fd, kicks, sizeof(kicks));
    while (got < 0 && errno == EINTR);
    if (got == 0 || (got < 0 && errno != EAGAIN))
        ring_set_fd(&lane->ring.kick_fd, -1);
}

static void read_wake(const struct lane *lane)
{
    uint64_t count;

    while (read(lane->wake_fd, &count, sizeof(count)) < 0 && errno == EINTR)
        ;
}

static int wait_ms(enum serve_result result)
{
    switch (result) {
    case SERVE_MORE:
        return 0;
    case SERVE_BLOCKED:
        return AUDIT_ROOM_POLL_MS;
    case SERVE_IDLE:
        break;
    }
    return -1;
}

/*
 * Who answers requests of microseconds asks for the shortest turns and thereby has them soon, at the same share of the
 * processor; slow lanes, the neighbours' too, keep their long ones. Linux 6.12 and later; elsewhere nothing changes.
 */
static void ask_for_short_turns(void)
{
    struct {
        uint32_t size, policy;
        uint64_t flags;
        int32_t nice;
        uint32_t priority;
        uint64_t runtime_ns, deadline_ns, period_ns;
    } attributes = {.size = sizeof(attributes), .runtime_ns = 100000};

    (void)syscall(SYS_sched_setattr, 0, &attributes, 0);
}

/* Both stacks are there and nothing of the guest is mapped yet: from here on nothing is opened any more. */
static int seal(void)
{
    static const struct vks_sandbox_limits limits = {.descriptors = DESCRIPTORS_MAX, .file_bytes = 0};

    /* A worker that has fallen shall not write the daemon's log: stdin is /dev/null. */
    if (VKS_SANDBOX_SEALS && (dup2(STDIN_FILENO, STDOUT_FILENO) < 0 || dup2(STDIN_FILENO, STDERR_FILENO) < 0))
        return -errno;
    return vks_sandbox_seal(&limits, &worker_calls, &worker.sandbox);
}

/* Serve until there is nothing to do; how long to sleep then. */
static int serve_on(struct lane *lane)
{
    enum serve_result result = serve(lane);
    int timeout_ms = wait_ms(result == SERVE_IDLE && serve_await(lane) ? SERVE_MORE : result);

    if (timeout_ms) {
        audit_run_close(&worker.audit, lane->index);
        job_rest(&lane->fast);
        gather_rest(&lane->gather);
        vks_registers_wipe();
    }
    return timeout_ms;
}

/* What every lane waits for; the lock is given up meanwhile. 0 or a negative errno. */
static int sleep_on(struct pollfd *fds, nfds_t count, int timeout_ms)
{
    int error = 0;

    lanes_unlock(&worker);
    if (poll(fds, count, timeout_ms) < 0 && errno != EINTR)
        error = -errno;
    lanes_lock(&worker);
    return error;
}

/* A descriptor that was replaced meanwhile is another one's business. */
static void take_what_came(struct lane *lane, const struct pollfd *done, const struct pollfd *kick)
{
    if (done->revents)
        slow_lane_acknowledge(&lane->slow);
    if (kick->revents && kick->fd == lane->ring.kick_fd)
        read_kick(lane);
}

static void further_lane(void *argument)
{
    struct lane *lane = argument;

    ask_for_short_turns();
    lanes_wake(lane); /* it is there: see start_lanes() */
    lanes_lock(&worker);
    for (;;) {
        int timeout_ms = serve_on(lane);
        struct pollfd fds[] = {
            {.fd = lane->slow.done_fd, .events = POLLIN},
            {.fd = lane->ring.kick_fd, .events = POLLIN},
            {.fd = lane->wake_fd, .events = POLLIN},
        };

        if (sleep_on(fds, sizeof(fds) / sizeof(fds[0]), timeout_ms))
            _exit(1);
        take_what_came(lane, &fds[0], &fds[1]);
        if (fds[2].revents)
            read_wake(lane);
    }
}

/* Runs on a secret stack: what crypto spills must not lie elsewhere. */
static int loop(void *argument)
{
    struct lane *lane = &worker.lane[0];
    int error;

    (void)argument;
    ask_for_short_turns();
    error = seal();
    if (!error)
        error = say_ready();
    if (error)
        return error;
    for (;;) {
        int timeout_ms = serve_on(lane);
        struct pollfd fds[] = {
            {.fd = worker.control_fd, .events = POLLIN},  {.fd = worker.key_fd, .events = POLLIN},
            {.fd = lane->slow.done_fd, .events = POLLIN}, {.fd = lane->ring.kick_fd, .events = POLLIN},
            {.fd = worker.token.fd, .events = POLLIN},
        };

        error = sleep_on(fds, sizeof(fds) / sizeof(fds[0]), timeout_ms);
        if (error)
            return error;
        /* Keys before control: a snapshot that follows its keys finds them. */
        if (fds[1].revents && !control_receive_keys(&worker)) {
            close(worker.key_fd);
            worker.key_fd = -1;
        }
        take_what_came(lane, &fds[2], &fds[3]);
        if (fds[4].revents)
            token_lane_receive(&worker.token, &worker.message);
        if (fds[0].revents && !control_receive(&worker))
            return 0;
    }
}

static uint32_t allowed_functions(uint32_t flags)
{
    uint32_t functions = flags & VKS_SPAWN_F_ACCELERATORS ? UINT32_MAX : 0;

    return flags & VKS_SPAWN_F_NONCE_POOL ? functions : functions & ~(UINT32_C(1) << VKS_ENGINE_P256_NONCES);
}

/* Its slow thread, and, but for the first, its fast one: they begin with calls that the worker's filter lacks. */
static int start_lane(struct lane *lane)
{
    struct pollfd started = {.events = POLLIN};
    int error = slow_lane_start(&lane->slow, vks_lane_of(lane->index, VKS_LANE_SLOW));

    if (error || lane->index == 0)
        return error;
    started.fd = lane->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (lane->wake_fd < 0)
        return -errno;
    error = vks_secret_thread_start(&lane->thread, further_lane, lane);
    while (!error && poll(&started, 1, -1) < 0 && errno == EINTR)
        ;
    return error;
}

static void open_lanes(uint32_t count)
{
    worker.lane_count = count;
    lanes_open(&worker);
    for (uint32_t i = 0; i < count; i++) {
        struct lane *lane = &worker.lane[i];

        lane->worker = &worker;
        lane->index = i;
        lane->ring.kick_fd = lane->ring.call_fd = lane->ring.err_fd = lane->wake_fd = -1;
        job_prepare(&lane->fast, VKS_DESCRIPTORS_MAX, JOB_FAST_BYTES);
    }
}

static void set_up(const struct worker_start *start)
{
    int error;

    worker.control_fd = start->control_fd;
    worker.key_fd = start->key_fd;
    worker.sandbox = *start->spawner;
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN); /* a call fd may be anything, a file as well */
    if (!start->asked->rings || start->asked->rings > LANES_MAX)
        fail("number of rings", -EINVAL);
    open_lanes(start->asked->rings);
    if ((error = vks_sandbox_confine_child(start->keeper, &worker.sandbox)))
        fail("sandbox", error);
    if ((error = vks_crypto_after_fork(2 * (worker.lane_count - 1))))
        fail("secret memory", error);
    if ((error = map_state(start->state_fd)))
        fail("state memory", error);
    if (start->board_fd >= 0 && (error = map_board(start->board_fd, start->asked->poll_places)))
        fail("poll board", error);
    vks_engines_allow(allowed_functions(start->asked->flags));
    if ((error = guest_fault_guard(&worker.mem)))
        fail("signal handler", error);
    token_lane_open(&worker.token);
    order_lane_open(&worker.order);
    /* Held until the first lane sleeps: others begin then, and what wakes them here is left in their descriptors. */
    lanes_lock(&worker);
    for (uint32_t i = 0; i < worker.lane_count; i++)
        if ((error = start_lane(&worker.lane[i])))
            fail("lanes", error);
}

_Noreturn void worker_main(const struct worker_start *start)
{
    int error;

    set_up(start);
    error = vks_secret_call(loop, NULL);
    if (error)
        fail("main loop", error);
    _exit(0);
}
