/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker may ask the kernel for, once it is set up: its sockets and eventfds, memory that is never executable,
 * randomness, the clock. Nothing here opens, creates or names anything; nothing here starts a thread or a process.
 */
#define _GNU_SOURCE
#include "worker_calls.h"

#include <fcntl.h>
#include <signal.h>

#include "syscall_sets.h"

static const struct vks_syscall_rule rules[] = {
    /* the loop of both lanes */
    VKS_SYSCALL(poll),
    VKS_SYSCALL(read),
    VKS_SYSCALL(write),
    VKS_SYSCALL(futex),
    VKS_SYSCALL(restart_syscall), /* a poll with a timeout that was stopped and continued */
    /* messages, and what comes with them */
    VKS_SYSCALL(recvmsg),
    VKS_SYSCALL(sendmsg),
    VKS_SYSCALL(close),
    VKS_SYSCALL(fstat),
    VKS_SYSCALL(fstatfs),
    VKS_SYSCALL(pread64),
    VKS_SYSCALL_IF(fcntl, 1, F_GETFL),
    VKS_SYSCALL_IF(fcntl, 1, F_SETFL),
    VKS_SYSCALL_IF(fcntl, 1, F_GET_SEALS),
    VKS_SYSCALLS_MEMORY,
    VKS_SYSCALLS_LOCKING,
    VKS_SYSCALLS_LIBCRYPTO,
    /* a region that the front-end shrank */
    VKS_SYSCALL(rt_sigreturn),
    VKS_SYSCALL_IF(rt_sigaction, 0, SIGBUS),
    /* the end */
    VKS_SYSCALL(rt_sigprocmask), /* swapcontext back from the secret stack */
    VKS_SYSCALL(exit_group),
};

struct vks_syscall_filter worker_calls;

int worker_calls_build(void)
{
    return vks_syscall_filter_allow(&worker_calls, rules, sizeof(rules) / sizeof(rules[0]));
}
