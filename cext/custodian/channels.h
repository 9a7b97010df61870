/* SPDX-License-Identifier: Apache-2.0 */
/* Key channels: the sockets on which workers get their keys, by keystored's number for the worker. */
#ifndef VKS_CHANNELS_H
#define VKS_CHANNELS_H

#include <stdint.h>

enum vks_channel_limit {
    VKS_CHANNELS_MAX = 4096,
};

/* Takes *fd* in every case. 0, -EEXIST, -ENOSPC, or -EPROTO: not a socket. */
__attribute__((warn_unused_result)) int vks_channel_add(uint64_t channel_id, int fd);
__attribute__((warn_unused_result)) int vks_channel_remove(uint64_t channel_id);
/* The descriptor, still the list's, or -ENOENT. */
__attribute__((warn_unused_result)) int vks_channel_find(uint64_t channel_id);

#endif
