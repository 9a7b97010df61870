/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The program parses what somebody else may have written, with the rights of whoever imports it: it keeps those to read
 * files and nothing that could carry a key away.
 */
#include "confinement.h"

#include <fcntl.h>
#include <linux/capability.h>
#include <stddef.h>
#include <sys/ioctl.h>
#include <termios.h>

#include "sandbox.h"
#include "syscall_sets.h"

static const struct vks_syscall_rule rules[] = {
    /* files and terminal; nothing is created */
    VKS_SYSCALL_WITHOUT(openat, 2, O_CREAT | O_TRUNC | O_APPEND),
    VKS_SYSCALL(read),
    VKS_SYSCALL(write),
    VKS_SYSCALL(close),
    VKS_SYSCALL(fstat),
    VKS_SYSCALL_IF(ioctl, 1, TCGETS),
    VKS_SYSCALL_IF(ioctl, 1, TCSETSF),
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

int vks_import_confine(void)
{
    int error = vks_sandbox_confine_user(UINT64_C(1) << CAP_DAC_OVERRIDE | UINT64_C(1) << CAP_DAC_READ_SEARCH);

    if (!error)
        error = vks_syscall_filter_allow(&calls, rules, sizeof(rules) / sizeof(rules[0]));
    if (!error && VKS_SANDBOX_SEALS)
        error = vks_syscall_filter_load(&calls);
    return error;
}
