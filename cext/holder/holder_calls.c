/* SPDX-License-Identifier: Apache-2.0 */
/* What the holder may ask the kernel for: its sockets, and to close what came through them. */
#include "holder_calls.h"

static const struct vks_syscall_rule rules[] = {
    VKS_SYSCALL(poll),    VKS_SYSCALL(restart_syscall), VKS_SYSCALL(accept4),    VKS_SYSCALL(recvmsg),
    VKS_SYSCALL(sendmsg), VKS_SYSCALL(close),           VKS_SYSCALL(exit_group),
};

struct vks_syscall_filter holder_calls;

int holder_calls_build(void)
{
    return vks_syscall_filter_allow(&holder_calls, rules, sizeof(rules) / sizeof(rules[0]));
}
