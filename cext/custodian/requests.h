/* SPDX-License-Identifier: Apache-2.0 */
/* What keystored may ask of the custodian. */
#ifndef VKS_REQUESTS_H
#define VKS_REQUESTS_H

#include "ipc_socket.h"

/* Serve one request of the table and answer it on *fd*; descriptors left over are closed. Negative: end the process. */
__attribute__((warn_unused_result)) int vks_request_serve(int fd, struct vks_ipc_message *message);

#endif
