/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-zygote: forks workers. libcrypto is warmed up once, so that a worker costs milliseconds and a few hundred KiB.
 *
 * Descriptor 3 is its control socket, from keystored or, where that has no privilege to give, from systemd; when
 * keystored closes it the zygote ends, its workers go on. It holds no secret, no randomness and, beyond the moment of a
 * spawn, nothing of any guest. It is the one process that may keep a privilege: to make a worker another user's.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "activation.h"
#include "crypto_process.h"
#include "engine.h"
#include "ipc_socket.h"
#include "sandbox.h"
#include "secret_arena.h"
#include "worker.h"
#include "worker_calls.h"

enum {
    CONTROL_FD = 3,
    WORKER_FDS_MAX = 4,
    WORKER_FD_FIRST = 64, /* out of the way while everything below is closed */
};

static struct vks_ipc_message message;
static struct vks_sandbox_report sandbox;
static uint32_t keeper; /* keystored's user */

static _Noreturn void fail(const char *what, int error)
{
    fprintf(stderr, "vks-zygote: %s: %s\n", what, strerror(-error));
    _exit(1);
}

/* Where the administrator wants workers; the slow lane's thread, which is made later, is with its worker. */
static int stay_on_cpus(const uint64_t cpus[VKS_SPAWN_CPUS_MAX / 64])
{
    cpu_set_t set;

    CPU_ZERO(&set);
    for (uint32_t cpu = 0; cpu < VKS_SPAWN_CPUS_MAX; cpu++)
        if (cpus[cpu / 64] >> cpu % 64 & 1)
            CPU_SET(cpu, &set);
    if (CPU_COUNT(&set) == 0)
        return 0;
    return sched_setaffinity(0, sizeof(set), &set) ? -errno : 0;
}

/* In the child: keep stdio and the descriptors of this worker, close whatever else was inherited. */
static _Noreturn void become_worker(void)
{
    const struct vks_zygote_spawn *asked = vks_ipc_body(&message);
    int fds[WORKER_FDS_MAX] = {-1, -1, -1, -1};
    struct worker_start start;
    sigset_t none;
    int error;

    for (uint32_t i = 0; i < message.fd_count; i++) {
        fds[i] = fcntl(message.fds[i], F_DUPFD_CLOEXEC, WORKER_FD_FIRST + i);
        if (fds[i] != WORKER_FD_FIRST + (int)i)
            fail("descriptors", fds[i] < 0 ? -errno : -EBADF);
    }
    if (close_range(STDERR_FILENO + 1, WORKER_FD_FIRST - 1, 0) ||
        close_range(WORKER_FD_FIRST + message.fd_count, UINT_MAX, 0))
        fail("descriptors", -errno);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    /* A session of its own: where the kernel groups tasks by session (autogroup), the guests have equal shares of the
     * processors, however many threads work for each. */
    if (setsid() < 0)
        fail("session", -errno);
    error = stay_on_cpus(asked->cpus);
    if (error)
        fail("processors", error);
    (void)prctl(PR_SET_NAME, "vks-worker");
    start = (struct worker_start){
        .control_fd = fds[0],
        .key_fd = fds[1],
        .state_fd = fds[2],
        .board_fd = fds[3],
        .keeper = keeper,
        .spawner = &sandbox,
        .asked = asked,
    };
    worker_main(&start);
}

static int spawn(void)
{
    const struct vks_zygote_spawn *asked = vks_ipc_body(&message);
    struct vks_zygote_spawned spawned = {.worker_id = asked->worker_id};
    struct vks_ipc_head head = {.type = VKS_ZYGOTE_SPAWN | VKS_IPC_REPLY, .tag = message.head.tag};
    struct vks_ipc_part part = {&spawned, sizeof(spawned)};
    int pidfd, error;

    if (!asked->poll_places != (message.fd_count < WORKER_FDS_MAX))
        return vks_ipc_reply(CONTROL_FD, &message.head, -EINVAL, NULL, 0);
    spawned.pid = fork();
    if (spawned.pid == 0)
        become_worker();
    if (spawned.pid < 0)
        return vks_ipc_reply(CONTROL_FD, &message.head, -errno, NULL, 0);
    /* The child is reaped by this thread only, so its pid cannot have been given to another process yet. */
    pidfd = pidfd_open(spawned.pid, 0);
    if (pidfd < 0) {
        error = -errno;
        kill(spawned.pid, SIGKILL);
        return vks_ipc_reply(CONTROL_FD, &message.head, error, NULL, 0);
    }
    error = vks_ipc_send(CONTROL_FD, &head, &part, 1, &pidfd, 1);
    close(pidfd);
    return error;
}

/* A sealed worker cannot say why it ends. */
static void tell_end(pid_t pid, int status)
{
    if (WIFEXITED(status) && WEXITSTATUS(status))
        fprintf(stderr, "vks-zygote: worker pid %d ended with status %d\n", pid, WEXITSTATUS(status));
    else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS)
        fprintf(stderr, "vks-zygote: worker pid %d killed: it made a system call that no worker makes\n", pid);
    else if (WIFSIGNALED(status) && WTERMSIG(status) != SIGKILL)
        fprintf(stderr, "vks-zygote: worker pid %d ended by signal %d (%s)\n", pid, WTERMSIG(status),
                strsignal(WTERMSIG(status)));
}

static void reap(int signal_fd)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    (void)!read(signal_fd, &info, sizeof(info));
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        tell_end(pid, status);
}

static int open_child_signals(void)
{
    sigset_t set;

    /* Interrupts from a terminal are keystored's to handle; it ends us by closing the socket. */
    signal(SIGINT, SIG_IGN);
    sigemptyset(&set);
    sigaddset(&set, SIGCHLD);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

/* Also of the workers: what they write to descriptors that nobody gave them goes nowhere. */
static int null_stdio(void)
{
    int fd = open("/dev/null", O_RDWR | O_CLOEXEC);

    if (fd < 0 || dup2(fd, STDIN_FILENO) < 0 || dup2(fd, STDOUT_FILENO) < 0)
        return -errno;
    if (fd > STDERR_FILENO)
        close(fd);
    return 0;
}

int main(int argc, char **argv)
{
    int signal_fd, got, error;

    keeper = vks_sandbox_keeper(argc, argv);
    error = vks_activation_greet(CONTROL_FD, keeper);
    if (error)
        fail("control socket", error);
    if ((error = vks_crypto_start_public()) || (error = vks_crypto_warm_up()))
        fail("libcrypto", error);
    vks_engines_open();
    signal_fd = open_child_signals();
    if (signal_fd < 0)
        fail("signals", -errno);
    vks_secret_arena_raise_limit(0);
    if ((error = null_stdio()) || (error = worker_calls_build()) ||
        (error = vks_sandbox_confine_spawner(keeper, &sandbox)))
        fail("sandbox", error);
    for (;;) {
        struct pollfd fds[] = {{.fd = CONTROL_FD, .events = POLLIN}, {.fd = signal_fd, .events = POLLIN}};

        if (poll(fds, 2, -1) < 0 && errno != EINTR)
            fail("poll", -errno);
        if (fds[1].revents)
            reap(signal_fd);
        if (!fds[0].revents)
            continue;
        got = vks_ipc_receive(CONTROL_FD, &message, VKS_IPC_NOWAIT);
        if (got == -EAGAIN)
            continue;
        if (got == 0)
            return 0;
        if (got < 0 || message.head.type != VKS_ZYGOTE_SPAWN)
            fail("control socket", got < 0 ? got : -EPROTO);
        error = spawn();
        vks_ipc_close_fds(&message);
        if (error)
            fail("control socket", error);
    }
}
