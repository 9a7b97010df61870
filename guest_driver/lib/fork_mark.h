/* SPDX-License-Identifier: BSD-3-Clause */
/* Whether this is still the process that made it: a page that the kernel wipes in every child of fork(). */
#ifndef VKS_FORK_MARK_H
#define VKS_FORK_MARK_H

#include <stdbool.h>
#include <stdint.h>

#include "vks.h"

struct fork_mark {
    volatile uint32_t *page;
};

VKS_MUST_CHECK int fork_mark_make(struct fork_mark *mark);
VKS_MUST_CHECK bool fork_mark_is_child(const struct fork_mark *mark);
void fork_mark_remove(struct fork_mark *mark);

#endif
