/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A share as text, to be kept on paper:
 *
 *   vmm-keystore recovery share 1
 *   share 2 of 5; any 3 of set 9c1d22aa give the kek 3f2a9c0d11e7b856
 *   0103 0502 9c1d ...
 *
 * The second line is for people. What follows is struct vks_share and the first 4 bytes of its SHA-256, in hex; case
 * and blanks do not matter.
 */
#ifndef VKS_SHARE_TEXT_H
#define VKS_SHARE_TEXT_H

#include <stddef.h>

#include "share.h"

enum vks_share_text_limit {
    VKS_SHARE_TEXT_BYTES_MAX = 1024,
};

/* *text* takes VKS_SHARE_TEXT_BYTES_MAX. 0 or -EIO. */
__attribute__((warn_unused_result)) int vks_share_format(const struct vks_share *share, char *text, size_t *size_bytes);
/* 0, -EINVAL: no share, -EBADMSG: a digit is wrong, or -EIO. */
__attribute__((warn_unused_result)) int vks_share_parse(const char *text, size_t size_bytes, struct vks_share *share);

#endif
