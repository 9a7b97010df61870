/* SPDX-License-Identifier: Apache-2.0 */
/* A program that runs for one secret and ends: the descriptors it was started with, and nothing else of its user's. */
#ifndef VKS_DESCRIPTOR_PROGRAM_H
#define VKS_DESCRIPTOR_PROGRAM_H

#include <stddef.h>

#include "syscall_filter.h"

enum vks_descriptor_program_limit {
    VKS_DESCRIPTOR_PROGRAM_MORE_MAX = 8,
};

/*
 * For good, and before the first byte is read: it may read, write and close what is open, and make the *more_count*
 * calls of *more*. 0 or a negative errno.
 */
__attribute__((warn_unused_result)) int vks_descriptor_program_confine(const struct vks_syscall_rule *more,
                                                                       size_t more_count);

#endif
