/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a worker may ask the kernel for, once it is set up: its sockets and eventfds, memory that is never executable,
 * randomness, the clock. Nothing here opens, creates or names anything; nothing here starts a thread or a process.
 */
#define _GNU_SOURCE
#include "worker_calls.h"

#include <fcntl.h>
#include <signal.h>
#include <sys/mman.h>

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
    /* memory */
    VKS_SYSCALL_WITHOUT(mmap, 2, PROT_EXEC),
    VKS_SYSCALL_WITHOUT(mprotect, 2, PROT_EXEC),
    VKS_SYSCALL(munmap),
    VKS_SYSCALL(mremap),
    VKS_SYSCALL(brk),
    VKS_SYSCALL_IF(madvise, 2, MADV_DONTNEED),
    VKS_SYSCALL_IF(madvise, 2, MADV_DONTDUMP),
    VKS_SYSCALL_IF(madvise, 2, MADV_DONTFORK),
    VKS_SYSCALL_IF(mlock2, 2, MLOCK_ONFAULT), /* key pages, where there is no memfd_secret */
    /* libcrypto */
    VKS_SYSCALL(getrandom),
    VKS_SYSCALL(getpid),
    /* the clock, where the vDSO has none */
    VKS_SYSCALL(clock_gettime),
    VKS_SYSCALL(gettimeofday),
    VKS_SYSCALL(time),
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
