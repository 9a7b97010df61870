/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Guest agent: runs shell commands for a test on the host, over a virtio-serial port or a serial line.
 *
 * The other end is trusted: it owns the guest. Frames in both directions, little-endian:
 *   u32 payload_bytes | u32 job | u8 type | u8 reserved[3] | payload, at most FRAME_BYTES_MAX
 * The host numbers its jobs; several run at once. This file knows nothing of what the commands do.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "line.h"

enum {
    AGENT_VERSION = 1,
    FRAME_BYTES_MAX = 65536,
    JOBS_MAX = 16,
    IDLE_NS = 10 * 1000 * 1000,
};

enum frame_type {
    FRAME_RUN = 1,    /* host: payload is a command for /bin/sh -c */
    FRAME_INPUT = 2,  /* host: bytes for the command's stdin; none at all: end of file */
    FRAME_SIGNAL = 3, /* host: u32 signal for the command's process group */
    FRAME_HELLO = 16, /* guest: u32 AGENT_VERSION, once, when it is ready */
    FRAME_STDOUT = 17,
    FRAME_STDERR = 18,
    FRAME_EXIT = 19,  /* guest: i32, the exit status, or the negative number of the signal that ended it */
    FRAME_TAKEN = 20, /* guest: u32, so many bytes were read from the line, heads included */
};

struct frame_head {
    uint32_t payload_bytes;
    uint32_t job;
    uint8_t type;
    uint8_t reserved[3];
};

struct job {
    bool used;
    bool input_ended;
    uint32_t id;
    pid_t pid;
    int in, out, err; /* -1 once closed */
    uint8_t *input;   /* not yet taken by the command */
    size_t input_bytes;
};

static struct job jobs[JOBS_MAX];
static int port;

static void die(const char *what)
{
    fprintf(stderr, "agent: %s: %s\n", what, strerror(errno));
    exit(1);
}

static void write_all(const void *data, size_t bytes)
{
    const uint8_t *next = data;

    while (bytes) {
        ssize_t done = write(port, next, bytes);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            die("write to the host");
        next += done;
        bytes -= (size_t)done;
    }
}

static void send_frame(uint32_t job, enum frame_type type, const void *payload, uint32_t bytes)
{
    struct frame_head head = {.payload_bytes = bytes, .job = job, .type = (uint8_t)type};

    write_all(&head, sizeof(head));
    write_all(payload, bytes);
}

static struct job *job_find(uint32_t id)
{
    for (size_t i = 0; i < JOBS_MAX; i++)
        if (jobs[i].used && jobs[i].id == id)
            return &jobs[i];
    return NULL;
}

static void close_fd(int *fd)
{
    if (*fd >= 0)
        close(*fd);
    *fd = -1;
}

static void job_end(struct job *job, int32_t status)
{
    send_frame(job->id, FRAME_EXIT, &status, sizeof(status));
    close_fd(&job->in);
    close_fd(&job->out);
    close_fd(&job->err);
    free(job->input);
    *job = (struct job){0};
}

/* Forward what the command wrote; false at the end of file or when there is nothing now. */
static bool job_forward(const struct job *job, int *fd, enum frame_type type)
{
    static uint8_t buffer[FRAME_BYTES_MAX];

    if (*fd < 0)
        return false;
    ssize_t bytes = read(*fd, buffer, sizeof(buffer));
    if (bytes > 0)
        send_frame(job->id, type, buffer, (uint32_t)bytes);
    else if (bytes == 0)
        close_fd(fd);
    return bytes > 0;
}

static void job_feed(struct job *job)
{
    if (job->input_bytes) {
        ssize_t done = write(job->in, job->input, job->input_bytes);
        if (done < 0 && errno != EAGAIN) {
            /* The command does not read any more: what is left for it has no reader. */
            job->input_bytes = 0;
            job->input_ended = true;
        } else if (done > 0) {
            job->input_bytes -= (size_t)done;
            memmove(job->input, job->input + done, job->input_bytes);
        }
    }
    if (!job->input_bytes && job->input_ended)
        close_fd(&job->in);
}

static void child_exec(const char *command, const int in[2], const int out[2], const int err[2])
{
    sigset_t none;

    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    signal(SIGPIPE, SIG_DFL);
    setsid();
    if (dup2(in[0], 0) >= 0 && dup2(out[1], 1) >= 0 && dup2(err[1], 2) >= 0)
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
    _exit(127);
}

static void job_start(uint32_t id, const char *command)
{
    struct job *job = NULL;
    int in[2], out[2], err[2];

    for (size_t i = 0; i < JOBS_MAX && !job; i++)
        if (!jobs[i].used)
            job = &jobs[i];
    if (!job) {
        int32_t status = -EAGAIN;
        send_frame(id, FRAME_EXIT, &status, sizeof(status));
        return;
    }
    if (pipe2(in, O_CLOEXEC) || pipe2(out, O_CLOEXEC) || pipe2(err, O_CLOEXEC))
        die("pipe");
    pid_t pid = fork();
    if (pid < 0)
        die("fork");
    if (pid == 0)
        child_exec(command, in, out, err);
    close(in[0]);
    close(out[1]);
    close(err[1]);
    fcntl(in[1], F_SETFL, O_NONBLOCK);
    fcntl(out[0], F_SETFL, O_NONBLOCK);
    fcntl(err[0], F_SETFL, O_NONBLOCK);
    *job = (struct job){.used = true, .id = id, .pid = pid, .in = in[1], .out = out[0], .err = err[0]};
}

static void job_input(struct job *job, const uint8_t *data, uint32_t bytes)
{
    if (job->in < 0)
        return;
    if (!bytes)
        job->input_ended = true;
    uint8_t *grown = realloc(job->input, job->input_bytes + bytes + 1);
    if (!grown)
        die("memory for a command's input");
    memcpy(grown + job->input_bytes, data, bytes);
    job->input = grown;
    job->input_bytes += bytes;
    job_feed(job);
}

static void frame_take(const struct frame_head *head, uint8_t *payload)
{
    struct job *job = job_find(head->job);

    if (head->type == FRAME_RUN) {
        payload[head->payload_bytes] = 0;
        job_start(head->job, (const char *)payload);
    } else if (head->type == FRAME_INPUT && job) {
        job_input(job, payload, head->payload_bytes);
    } else if (head->type == FRAME_SIGNAL && job && head->payload_bytes == sizeof(uint32_t)) {
        uint32_t number;
        memcpy(&number, payload, sizeof(number));
        kill(-job->pid, (int)number);
    }
}

/* Collect frames from whatever pieces the port delivers. */
static void port_read(void)
{
    static uint8_t buffer[sizeof(struct frame_head) + FRAME_BYTES_MAX + 1];
    static size_t filled;
    struct frame_head head;

    ssize_t bytes = read(port, buffer + filled, sizeof(buffer) - 1 - filled);
    if (bytes <= 0) {
        /* The host closed its end or went away; nothing to do but not to spin. */
        nanosleep(&(struct timespec){.tv_nsec = IDLE_NS}, NULL);
        return;
    }
    filled += (size_t)bytes;
    /* The host keeps fewer bytes on the way than the line holds: a serial line that throttles may not recover. */
    uint32_t taken = (uint32_t)bytes;
    send_frame(0, FRAME_TAKEN, &taken, sizeof(taken));
    while (filled >= sizeof(head)) {
        memcpy(&head, buffer, sizeof(head));
        if (head.payload_bytes > FRAME_BYTES_MAX) {
            errno = EPROTO;
            die("frame");
        }
        size_t whole = sizeof(head) + head.payload_bytes;
        if (filled < whole)
            return;
        uint8_t next = buffer[whole]; /* frame_take may end the payload with a NUL */
        frame_take(&head, buffer + sizeof(head));
        buffer[whole] = next;
        filled -= whole;
        memmove(buffer, buffer + whole, filled);
    }
}

/* As process 1 the agent also inherits orphans; they are reaped and forgotten. */
static void children_reap(int signals)
{
    struct signalfd_siginfo info;
    int status;
    pid_t pid;

    if (read(signals, &info, sizeof(info)) < 0)
        return;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0) {
        for (size_t i = 0; i < JOBS_MAX; i++) {
            struct job *job = &jobs[i];
            if (!job->used || job->pid != pid)
                continue;
            while (job_forward(job, &job->out, FRAME_STDOUT))
                ;
            while (job_forward(job, &job->err, FRAME_STDERR))
                ;
            job_end(job, WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status));
        }
    }
}

static void serve(int signals)
{
    struct pollfd fds[2 + 3 * JOBS_MAX];

    for (;;) {
        fds[0] = (struct pollfd){.fd = port, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = signals, .events = POLLIN};
        for (size_t i = 0; i < JOBS_MAX; i++) {
            const struct job *job = &jobs[i];
            bool feeding = job->used && (job->input_bytes || job->input_ended);
            fds[2 + 3 * i] = (struct pollfd){.fd = feeding ? job->in : -1, .events = POLLOUT};
            fds[3 + 3 * i] = (struct pollfd){.fd = job->used ? job->out : -1, .events = POLLIN};
            fds[4 + 3 * i] = (struct pollfd){.fd = job->used ? job->err : -1, .events = POLLIN};
        }
        if (poll(fds, sizeof(fds) / sizeof(fds[0]), -1) < 0 && errno != EINTR)
            die("poll");
        for (size_t i = 0; i < JOBS_MAX; i++) {
            if (fds[2 + 3 * i].revents)
                job_feed(&jobs[i]);
            if (fds[3 + 3 * i].revents)
                job_forward(&jobs[i], &jobs[i].out, FRAME_STDOUT);
            if (fds[4 + 3 * i].revents)
                job_forward(&jobs[i], &jobs[i].err, FRAME_STDERR);
        }
        if (fds[1].revents)
            children_reap(signals);
        if (fds[0].revents)
            port_read();
    }
}

int main(int argc, char **argv)
{
    const uint32_t version = AGENT_VERSION;
    sigset_t child;

    if (argc != 2) {
        fprintf(stderr, "usage: agent port:NAME | agent tty:PATH\n");
        return 2;
    }
    sigemptyset(&child);
    sigaddset(&child, SIGCHLD);
    sigprocmask(SIG_BLOCK, &child, NULL);
    signal(SIGPIPE, SIG_IGN);
    int signals = signalfd(-1, &child, SFD_CLOEXEC | SFD_NONBLOCK);
    if (signals < 0)
        die("signalfd");
    port = line_open(argv[1]);
    if (port < 0)
        die(argv[1]);
    send_frame(0, FRAME_HELLO, &version, sizeof(version));
    serve(signals);
}
