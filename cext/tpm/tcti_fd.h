/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A TPM behind a descriptor that is open already: /dev/tpmrm0, or the socket of a software TPM that speaks the same
 * (one command in, one response out; TPM 2.0 Library, Part 1, "Command/Response Structure").
 */
#ifndef VKS_TCTI_FD_H
#define VKS_TCTI_FD_H

#include <tss2/tss2_tcti.h>

struct vks_tcti_fd {
    TSS2_TCTI_CONTEXT_COMMON_V1 common; /* first: libtss2 sees nothing else */
    int fd;
};

TSS2_TCTI_CONTEXT *vks_tcti_fd_set_up(struct vks_tcti_fd *tcti, int fd);

#endif
