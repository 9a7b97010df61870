/* SPDX-License-Identifier: Apache-2.0 */
/* Requests about keys, of the table in requests.c: each is answered on *fd*. Negative: end the process. */
#ifndef VKS_KEY_REQUESTS_H
#define VKS_KEY_REQUESTS_H

#include "ipc_socket.h"

__attribute__((warn_unused_result)) int vks_key_serve_generate(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_key_serve_enroll(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_key_serve_offer(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_key_serve_import(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_key_serve_rsa_offer(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_key_serve_import_rsa(int fd, struct vks_ipc_message *message);
__attribute__((warn_unused_result)) int vks_key_serve_certify(int fd, struct vks_ipc_message *message);

#endif
