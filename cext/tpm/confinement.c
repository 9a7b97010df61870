/* SPDX-License-Identifier: Apache-2.0 */
/* The program parses what a TPM says, or whoever is between: it opens nothing and sends nothing but its result. */
#include "confinement.h"

#include <fcntl.h>
#include <sys/mman.h>

#include "sandbox.h"

static const struct vks_syscall_rule rules[] = {
    /* descriptors that are there */
    VKS_SYSCALL(read),
    VKS_SYSCALL(write),
    VKS_SYSCALL(close),
    VKS_SYSCALL(futex),
    VKS_SYSCALL(restart_syscall),
    /* memory */
    VKS_SYSCALL(memfd_secret),
    VKS_SYSCALL(memfd_create),
    VKS_SYSCALL(ftruncate),
    VKS_SYSCALL_IF(fcntl, 1, F_ADD_SEALS),
    VKS_SYSCALL_IF(mlock2, 2, MLOCK_ONFAULT),
    VKS_SYSCALL_IF(madvise, 2, MADV_DONTDUMP),
    VKS_SYSCALL_IF(madvise, 2, MADV_DONTFORK),
    VKS_SYSCALL_IF(madvise, 2, MADV_DONTNEED),
    VKS_SYSCALL_WITHOUT(mmap, 2, PROT_EXEC),
    VKS_SYSCALL_WITHOUT(mprotect, 2, PROT_EXEC),
    VKS_SYSCALL(munmap),
    VKS_SYSCALL(mremap),
    VKS_SYSCALL(brk),
    /* libcrypto */
    VKS_SYSCALL(getrandom),
    VKS_SYSCALL(getpid),
    VKS_SYSCALL(clock_gettime),
    VKS_SYSCALL(gettimeofday),
    VKS_SYSCALL(time),
    /* the end */
    VKS_SYSCALL(rt_sigprocmask),
    VKS_SYSCALL(exit_group),
};

static struct vks_syscall_filter calls;

int vks_tpm_confine(void)
{
    int error = vks_sandbox_confine_user(0);

    if (!error)
        error = vks_syscall_filter_allow(&calls, rules, sizeof(rules) / sizeof(rules[0]));
    if (!error && VKS_SANDBOX_SEALS)
        error = vks_syscall_filter_load(&calls);
    return error;
}
