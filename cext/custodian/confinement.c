/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the custodian may ask the kernel for: its sockets, memory that is never executable, pages for workers,
 * randomness, the clock, and KEK files by their descriptors. Nothing here opens or names anything.
 */
#include "confinement.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "sandbox.h"
#include "stretch.h"
#include "syscall_sets.h"

enum {
    DESCRIPTORS_MAX = 1 << 20,
    FILE_BYTES_MAX = VKS_STRETCH_BYTES + (1 << 20), /* KEK files and pages of keys are smaller */
};

static const struct vks_syscall_rule rules[] = {
    /* messages, and what comes with them */
    VKS_SYSCALL(recvmsg),
    VKS_SYSCALL(sendmsg),
    VKS_SYSCALL(close),
    VKS_SYSCALL(fstat),
    VKS_SYSCALL_IF(getsockopt, 2, SO_TYPE),
    VKS_SYSCALL_IF(fcntl, 1, F_GETFL),
    VKS_SYSCALL_IF(fcntl, 1, F_SETFL),
    VKS_SYSCALL(futex),
    VKS_SYSCALL(restart_syscall),
    VKS_SYSCALLS_SECRET_PAGES,
    VKS_SYSCALLS_MEMORY,
    VKS_SYSCALLS_LIBCRYPTO,
    /* KEK files, by the descriptors that keystored sends */
    VKS_SYSCALL(pread64),
    VKS_SYSCALL(pwrite64),
    VKS_SYSCALL(fsync),
    /* the end, and a line about it */
    VKS_SYSCALL_IF(write, 0, STDERR_FILENO),
    VKS_SYSCALL(rt_sigprocmask),
    VKS_SYSCALL(exit_group),
};

static struct vks_syscall_filter calls;
static struct vks_sandbox_report report;
static uid_t owner;

int vks_confinement_begin(uint32_t keeper)
{
    int error = vks_sandbox_confine(keeper, &report);

    /* In a user namespace of our own stat shows our user as getuid does. */
    owner = report.flags & VKS_SANDBOX_F_OWN_USER ? keeper : getuid();
    if (!error)
        error = vks_syscall_filter_allow(&calls, rules, sizeof(rules) / sizeof(rules[0]));
    return error;
}

int vks_confinement_seal(void)
{
    struct vks_sandbox_limits limits = {.descriptors = DESCRIPTORS_MAX, .file_bytes = FILE_BYTES_MAX};
    struct rlimit limit;

    if (getrlimit(RLIMIT_NOFILE, &limit) != 0)
        return -errno;
    /* One descriptor per worker; the soft limit of 1024 is for select(2), which nobody uses here. */
    if (limit.rlim_max < limits.descriptors)
        limits.descriptors = (uint32_t)limit.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    return vks_sandbox_seal(&limits, &calls, &report);
}

uint32_t vks_confinement_owner(void)
{
    return owner;
}

const struct vks_sandbox_report *vks_confinement_report(void)
{
    return &report;
}
