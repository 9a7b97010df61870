/* SPDX-License-Identifier: Apache-2.0 */
/* What keystored wants run, checked. Knows the message; must not know how a program is run. */
#ifndef VKS_ERRAND_H
#define VKS_ERRAND_H

#include <stdint.h>

#include "ipc_socket.h"

#define VKS_ERRAND_ID_NAME   "VMM_KEYSTORE_EVENT_ID="
#define VKS_ERRAND_KIND_NAME "VMM_KEYSTORE_EVENT_KIND="

struct vks_errand {
    char program[VKS_HANDLER_PATH_BYTES_MAX + 1];
    /* Of the program's environment. */
    char event_id[sizeof(VKS_ERRAND_ID_NAME) + VKS_HANDLER_WORD_BYTES_MAX];
    char event_kind[sizeof(VKS_ERRAND_KIND_NAME) + VKS_HANDLER_WORD_BYTES_MAX];
    /* For its standard input; lies in the message. */
    const uint8_t *line;
    uint32_t line_bytes;
};

/* Read a message that vks_ipc_receive took. NULL, or what is wrong with it; nothing of *errand* is to be used then. */
__attribute__((warn_unused_result)) const char *vks_errand_read(const struct vks_ipc_message *message,
                                                                struct vks_errand *errand);

#endif
