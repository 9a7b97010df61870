/* SPDX-License-Identifier: Apache-2.0 */
/* A program from its start to its end. Knows processes and pipes; must not know whose rights it has. */
#ifndef VKS_RUN_H
#define VKS_RUN_H

#include <stdint.h>

#include "errand.h"

enum vks_run_status {
    VKS_RUN_STATUS_PREPARE = 125, /* what comes before the program could not be done */
    VKS_RUN_STATUS_EXEC = 126,    /* it is nothing that can be run */
};

struct vks_outcome {
    struct vks_handler_ended ended;
    uint8_t said[VKS_HANDLER_SAID_BYTES_MAX];
};

/* Say *what* and why in the place of a program that was not run. */
void vks_outcome_fail(struct vks_outcome *outcome, const char *what, int error);

/*
 * Run the program and wait for its end. It is killed when anything is heard on *stop_fd*, its end included; what it
 * leaves running in its process group is killed in any case. 0, or a negative errno: nothing was run.
 */
__attribute__((warn_unused_result)) int vks_run(const struct vks_errand *errand, int stop_fd,
                                                struct vks_outcome *outcome);

#endif
