/* SPDX-License-Identifier: Apache-2.0 */
/* Loading: unseal a batch of keys into one secret page and hand the page to a worker. */
#ifndef VKS_LOAD_H
#define VKS_LOAD_H

#include "ipc.h"

/*
 * *entries*: load->count times a vks_custodian_load_entry and its sealed bytes padded to 8, nothing else. All or
 * nothing. 0, -EPROTO: lengths do not add up, -EINVAL: no or impossible entries, -EBADMSG: one does not unseal,
 * -ENOENT: no such channel, -EAGAIN: the worker does not take messages, -EPIPE: it is gone, -ENOKEY, -ENOMEM.
 */
__attribute__((warn_unused_result)) int vks_load(const struct vks_custodian_load *load, const uint8_t *entries,
                                                 uint32_t entries_bytes);

#endif
