/* SPDX-License-Identifier: Apache-2.0 */
/* The program has the KEK in parts or whole, and parses what people typed: it opens nothing and names no file. */
#include "confinement.h"

#include "sandbox.h"
#include "syscall_sets.h"

static const struct vks_syscall_rule rules[] = {
    /* descriptors that are there */
    VKS_SYSCALL(read),
    VKS_SYSCALL(write),
    VKS_SYSCALL(pwrite64),
    VKS_SYSCALL(fstat),
    VKS_SYSCALL(fsync),
    VKS_SYSCALL(close),
    VKS_SYSCALL(futex),
    VKS_SYSCALL(restart_syscall),
    VKS_SYSCALLS_SECRET_PAGES,
    VKS_SYSCALLS_MEMORY,
    VKS_SYSCALLS_LIBCRYPTO,
    /* the end */
    VKS_SYSCALL(rt_sigprocmask),
    VKS_SYSCALL(exit_group),
};

static struct vks_syscall_filter calls;

int vks_recovery_confine(void)
{
    int error = vks_sandbox_confine_user(0);

    if (!error)
        error = vks_syscall_filter_allow(&calls, rules, sizeof(rules) / sizeof(rules[0]));
    if (!error && VKS_SANDBOX_SEALS)
        error = vks_syscall_filter_load(&calls);
    return error;
}
