/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Shares of a KEK: any *threshold* of them give it back, fewer say nothing about it (Shamir, "How to share a secret",
 * 1979; libgfshare: GF(2^8), each byte by itself). libgfshare's tables are looked up by secret bytes: it runs on the
 * host, which is trusted, in a process of its own.
 */
#ifndef VKS_SHARE_H
#define VKS_SHARE_H

#include <stddef.h>
#include <stdint.h>

#include "kek_id.h"

enum vks_share_limit {
    VKS_SHARE_THRESHOLD_MIN = 2,
    VKS_SHARE_COUNT_MAX = 16,
    VKS_SHARE_SET_BYTES = 4,
};

/* As it stands in a share's file, but for the checksum. */
struct vks_share {
    uint8_t version; /* 1 */
    uint8_t threshold;
    uint8_t count;
    uint8_t index;                    /* from 1 */
    uint8_t set[VKS_SHARE_SET_BYTES]; /* random, of all shares that were made together */
    uint8_t kek_id[VKS_KEK_ID_BYTES];
    uint8_t bytes[VKS_KEK_BYTES];
};

/* Make *count* shares and see that the first and the last of them give the KEK. 0, -EINVAL, -ENOMEM or -EIO. */
__attribute__((warn_unused_result)) int vks_share_split(const uint8_t kek[VKS_KEK_BYTES],
                                                        const uint8_t kek_id[VKS_KEK_ID_BYTES], uint8_t threshold,
                                                        uint8_t count, struct vks_share *shares);
/*
 * The KEK from at least as many shares as it takes. 0, -EXDEV: not of one set, -EEXIST: one share twice, -EAGAIN: too
 * few, -EBADMSG: they do not give the KEK that they are of, -EINVAL, -ENOMEM or -EIO. *kek* is wiped unless 0.
 */
__attribute__((warn_unused_result)) int vks_share_combine(const struct vks_share *shares, size_t count,
                                                          uint8_t kek[VKS_KEK_BYTES]);

#endif
