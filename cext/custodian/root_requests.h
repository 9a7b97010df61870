/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about the root of trust; each answers its message or gives a negative errno that ends the connection. */
#ifndef VKS_ROOT_REQUESTS_H
#define VKS_ROOT_REQUESTS_H

#include "ipc_socket.h"

__attribute__((warn_unused_result)) int vks_root_serve_open(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_root_serve_change(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_root_serve_reseal(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_root_serve_switch(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_root_serve_export(int fd, struct vks_ipc_message *message);

#endif
