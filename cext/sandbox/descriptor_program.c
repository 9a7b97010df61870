/* SPDX-License-Identifier: Apache-2.0 */
/* It parses what somebody else says, with a secret in its memory: it opens nothing and sends nothing but its result. */
#define _GNU_SOURCE
#include "descriptor_program.h"

#include <errno.h>
#include <string.h>

#include "sandbox.h"
#include "syscall_sets.h"

static const struct vks_syscall_rule rules[] = {
    /* descriptors that are there */
    VKS_SYSCALL(read),
    VKS_SYSCALL(write),
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

enum {
    RULE_COUNT = sizeof(rules) / sizeof(rules[0]),
};

static struct vks_syscall_filter calls;

int vks_descriptor_program_confine(const struct vks_syscall_rule *more, size_t more_count)
{
    struct vks_syscall_rule all[RULE_COUNT + VKS_DESCRIPTOR_PROGRAM_MORE_MAX];
    int error = more_count <= VKS_DESCRIPTOR_PROGRAM_MORE_MAX ? vks_sandbox_confine_user(0) : -EINVAL;

    memcpy(all, rules, sizeof(rules));
    for (size_t i = 0; !error && i < more_count; i++)
        all[RULE_COUNT + i] = more[i];
    if (!error)
        error = vks_syscall_filter_allow(&calls, all, RULE_COUNT + more_count);
    if (!error && VKS_SANDBOX_SEALS)
        error = vks_syscall_filter_load(&calls);
    return error;
}
