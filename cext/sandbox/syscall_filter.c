/* SPDX-License-Identifier: Apache-2.0 */
/* From rules to BPF. Knows libseccomp; must not know why a program wants its rules. */
#define _GNU_SOURCE
#include "syscall_filter.h"

#include <errno.h>
#include <linux/seccomp.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* libseccomp 2.5 writes BPF to a descriptor only. */
static int export_program(struct vks_syscall_filter *filter, scmp_filter_ctx context)
{
    int fd = memfd_create("vks-filter", MFD_CLOEXEC);
    ssize_t got;
    int error;

    if (fd < 0)
        return -errno;
    error = seccomp_export_bpf(context, fd);
    got = error ? 0 : pread(fd, filter->instruction, sizeof(filter->instruction), 0);
    if (got < 0)
        error = -errno;
    /* A program that fills the buffer may go on behind it. */
    else if (!error && (got == 0 || (size_t)got == sizeof(filter->instruction)))
        error = -EOVERFLOW;
    close(fd);
    filter->instruction_count = error ? 0 : (uint32_t)((size_t)got / sizeof(filter->instruction[0]));
    return error;
}

int vks_syscall_filter_allow(struct vks_syscall_filter *filter, const struct vks_syscall_rule *rule, size_t rule_count)
{
    scmp_filter_ctx context = seccomp_init(SCMP_ACT_KILL_PROCESS);
    int error;

    if (context == NULL)
        return -ENOMEM;
    error = seccomp_attr_set(context, SCMP_FLTATR_ACT_BADARCH, SCMP_ACT_KILL_PROCESS);
    for (size_t i = 0; !error && i < rule_count; i++)
        error = seccomp_rule_add_array(context, SCMP_ACT_ALLOW, rule[i].number, rule[i].condition_count,
                                       &rule[i].condition);
    if (!error)
        error = export_program(filter, context);
    seccomp_release(context);
    return error;
}

int vks_syscall_filter_load(const struct vks_syscall_filter *filter)
{
    struct sock_fprog program = {
        .len = (unsigned short)filter->instruction_count,
        .filter = (struct sock_filter *)(uintptr_t)filter->instruction,
    };
    long result = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program);

    if (result < 0)
        return -errno;
    /* The number of a thread that could not follow. */
    return result > 0 ? -EAGAIN : 0;
}
