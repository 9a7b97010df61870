/* SPDX-License-Identifier: Apache-2.0 */
/* The program has our user: so it may end us, and lies about nobody but itself. It dies with us. */
#include "run.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    FIRST_FOREIGN_FD = 3,
    PIPE_BYTES = 65536, /* pipe(7): all that can wait in one */
    WATCHED_ENDED = 0,
    WATCHED_OUTPUT = 1,
    WATCHED_STOP = 2,
};

void vks_outcome_fail(struct vks_outcome *outcome, const char *what, int error)
{
    char *said = (char *)outcome->said;

    snprintf(said, sizeof(outcome->said), "%s: %s\n", what, strerror(-error));
    outcome->ended.status = VKS_RUN_STATUS_PREPARE;
    outcome->ended.said_bytes = (uint32_t)strnlen(said, sizeof(outcome->said));
}

/* A file, and no pipe: whether the program reads it, and how fast, is nothing to wait for. */
static int line_open(const struct vks_errand *errand)
{
    int fd = memfd_create("event", MFD_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (pwrite(fd, errand->line, errand->line_bytes, 0) != (ssize_t)errand->line_bytes) {
        close(fd);
        return -EIO;
    }
    return fd;
}

static int child_prepare(int line_fd, int output_fd, pid_t parent)
{
    if (dup2(output_fd, STDOUT_FILENO) < 0 || dup2(output_fd, STDERR_FILENO) < 0 || dup2(line_fd, STDIN_FILENO) < 0)
        return -errno;
    if (syscall(SYS_close_range, FIRST_FOREIGN_FD, ~0U, 0) != 0 || setpgid(0, 0) != 0)
        return -errno;
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return -errno;
    return getppid() == parent ? 0 : -ESRCH;
}

static _Noreturn void child_become(const struct vks_errand *errand, int line_fd, int output_fd, pid_t parent)
{
    const char *const arguments[] = {errand->program, NULL};
    const char *const environment[] = {
        "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "LANG=C.UTF-8",
        "HOME=/",
        errand->event_id,
        errand->event_kind,
        NULL,
    };
    int error = child_prepare(line_fd, output_fd, parent);

    if (error) {
        dprintf(STDERR_FILENO, "cannot prepare the handler: %s\n", strerror(-error));
        _exit(VKS_RUN_STATUS_PREPARE);
    }
    execve(errand->program, (char *const *)(uintptr_t)arguments, (char *const *)(uintptr_t)environment);
    dprintf(STDERR_FILENO, "%s: %s\n", errand->program, strerror(errno));
    _exit(VKS_RUN_STATUS_EXEC);
}

/* Take what there is and keep the beginning of all of it; false when no more can come. */
static bool output_read(int fd, struct vks_outcome *outcome)
{
    static uint8_t chunk[PIPE_BYTES];
    ssize_t got = read(fd, chunk, sizeof(chunk));
    size_t room = sizeof(outcome->said) - outcome->ended.said_bytes;

    if (got < 0)
        return errno == EAGAIN || errno == EINTR;
    if ((size_t)got < room)
        room = (size_t)got;
    memcpy(outcome->said + outcome->ended.said_bytes, chunk, room);
    outcome->ended.said_bytes += (uint32_t)room;
    return got > 0;
}

/* Until the program has ended; what it started may have its output open for longer. */
static int attend(pid_t program, int pidfd, int output_fd, int stop_fd, struct vks_outcome *outcome)
{
    struct pollfd watched[] = {
        [WATCHED_ENDED] = {pidfd, POLLIN, 0},
        [WATCHED_OUTPUT] = {output_fd, POLLIN, 0},
        [WATCHED_STOP] = {stop_fd, POLLIN, 0},
    };

    for (;;) {
        if (poll(watched, sizeof(watched) / sizeof(watched[0]), -1) < 0) {
            if (errno == EINTR)
                continue;
            return -errno;
        }
        if (watched[WATCHED_STOP].revents) {
            kill(-program, SIGKILL);
            watched[WATCHED_STOP].fd = -1;
        }
        if (watched[WATCHED_OUTPUT].revents && !output_read(output_fd, outcome))
            watched[WATCHED_OUTPUT].fd = -1;
        /* The pidfd is looked at first: what the program said before its end was just read. */
        if (watched[WATCHED_ENDED].revents)
            return 0;
    }
}

/* Kill what is there of the group, whose number is ours until we wait; then its leader's end. */
static int reap(pid_t program, struct vks_outcome *outcome)
{
    int status;

    kill(-program, SIGKILL);
    while (waitpid(program, &status, 0) < 0)
        if (errno != EINTR)
            return -errno;
    outcome->ended.status = WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
    return 0;
}

static int start(const struct vks_errand *errand, int output_fd, pid_t *program)
{
    pid_t parent = getpid();
    int line_fd = line_open(errand);
    int error;

    if (line_fd < 0)
        return line_fd;
    *program = fork();
    error = *program < 0 ? -errno : 0;
    if (*program == 0)
        child_become(errand, line_fd, output_fd, parent);
    close(line_fd);
    /* Both do it: the group is there, whoever comes first. It fails here only once the program has done it. */
    if (!error)
        (void)setpgid(*program, *program);
    return error;
}

int vks_run(const struct vks_errand *errand, int stop_fd, struct vks_outcome *outcome)
{
    int pidfd = -1, output[2];
    pid_t program;
    int error, reaped;

    if (pipe2(output, O_CLOEXEC) != 0)
        return -errno;
    error = start(errand, output[1], &program);
    close(output[1]);
    if (error)
        goto out;
    if (fcntl(output[0], F_SETFL, O_NONBLOCK) != 0 || (pidfd = pidfd_open(program, 0)) < 0)
        error = -errno;
    if (!error)
        error = attend(program, pidfd, output[0], stop_fd, outcome);
    reaped = reap(program, outcome);
    if (!error)
        error = reaped;
    if (pidfd >= 0)
        close(pidfd);
out:
    close(output[0]);
    return error;
}
