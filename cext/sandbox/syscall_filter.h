/* SPDX-License-Identifier: Apache-2.0 */
/*
 * System-call filters: built once as BPF by libseccomp, loaded as often as wanted. Who makes a call that its filter
 * does not have is killed, all threads of it. Which calls a program needs is that program's to know.
 */
#ifndef VKS_SYSCALL_FILTER_H
#define VKS_SYSCALL_FILTER_H

#include <linux/filter.h>
#include <seccomp.h>
#include <stddef.h>
#include <stdint.h>

enum vks_syscall_filter_limit {
    VKS_SYSCALL_FILTER_INSTRUCTIONS_MAX = 1024,
};

/* A call, with a condition on at most one argument; further rules of the same call are alternatives. */
struct vks_syscall_rule {
    int number;
    unsigned int condition_count;
    struct scmp_arg_cmp condition;
};

#define VKS_SYSCALL(name)                                                                                              \
    {                                                                                                                  \
        .number = SCMP_SYS(name)                                                                                       \
    }
#define VKS_SYSCALL_IF(name, argument, value)                                                                          \
    {                                                                                                                  \
        .number = SCMP_SYS(name), .condition_count = 1, .condition = {(argument), SCMP_CMP_EQ, (value), 0 }            \
    }
/* None of the bits of *mask* in the argument. */
#define VKS_SYSCALL_WITHOUT(name, argument, mask)                                                                      \
    {                                                                                                                  \
        .number = SCMP_SYS(name), .condition_count = 1, .condition = {(argument), SCMP_CMP_MASKED_EQ, (mask), 0 }      \
    }

struct vks_syscall_filter {
    uint32_t instruction_count;
    struct sock_filter instruction[VKS_SYSCALL_FILTER_INSTRUCTIONS_MAX];
};

/* Kill for every call but these, and for every call of another architecture's numbering. 0 or a negative errno. */
__attribute__((warn_unused_result)) int
vks_syscall_filter_allow(struct vks_syscall_filter *filter, const struct vks_syscall_rule *rule, size_t rule_count);
/* In force for all threads when this returns 0; else a negative errno. Needs no_new_privs. */
__attribute__((warn_unused_result)) int vks_syscall_filter_load(const struct vks_syscall_filter *filter);

#endif
