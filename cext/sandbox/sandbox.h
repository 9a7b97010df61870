/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a process of ours shuts itself in before it meets anything hostile:
 *
 *   confine   one thread yet: own user, no capability, not dumpable, no new privileges, no path, no network
 *   seal      all threads there: limits, then the system-call filter; nothing of it can be undone
 *
 * What cannot be had (Landlock, another user) is in the report, and keystored says so; what must be had is an error.
 */
#ifndef VKS_SANDBOX_H
#define VKS_SANDBOX_H

#include <stdint.h>

#include "ipc.h"
#include "syscall_filter.h"

/* Who must be able to kill us: the user that our starter runs as, by its first argument, else the user it started us
 * as. */
uint32_t vks_sandbox_keeper(int argc, char **argv);

/* All of them: 0 or a negative errno. *report* is zero at first. */
__attribute__((warn_unused_result)) int vks_sandbox_confine(uint32_t keeper, struct vks_sandbox_report *report);
/*
 * A spawner becomes a user of its own as well, but keeps what it takes to make a child another user's. Its children
 * inherit its report and that no path names anything, and confine themselves further.
 */
__attribute__((warn_unused_result)) int vks_sandbox_confine_spawner(uint32_t keeper, struct vks_sandbox_report *report);
__attribute__((warn_unused_result)) int vks_sandbox_confine_child(uint32_t keeper, struct vks_sandbox_report *report);

/*
 * A program that acts for the user who runs it, and reads files with that user's rights: it keeps these capabilities,
 * if it has them, and is not dumpable.
 */
__attribute__((warn_unused_result)) int vks_sandbox_confine_user(uint64_t capabilities);

struct vks_sandbox_limits {
    uint32_t descriptors; /* one more than the highest that may be opened */
    uint32_t file_bytes;  /* the longest file, memfds included, that may be written or truncated to */
};

/* A build with AddressSanitizer is confined but not sealed: a sanitizer reports by calls that our programs do not make.
 */
#if defined(__SANITIZE_ADDRESS__)
#define VKS_SANDBOX_SEALS 0
#else
#define VKS_SANDBOX_SEALS 1
#endif

__attribute__((warn_unused_result)) int vks_sandbox_seal(const struct vks_sandbox_limits *limits,
                                                         const struct vks_syscall_filter *filter,
                                                         struct vks_sandbox_report *report);

#endif
