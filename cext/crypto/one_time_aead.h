/* SPDX-License-Identifier: Apache-2.0 */
/*
 * AES-256-GCM under a key that is derived for one message and never used again: HKDF-SHA256 (RFC 5869) from a secret, a
 * salt and a context. So the nonce is zero and no nonce can ever repeat.
 */
#ifndef VKS_ONE_TIME_AEAD_H
#define VKS_ONE_TIME_AEAD_H

#include <stddef.h>
#include <stdint.h>

enum vks_one_time_limit {
    VKS_ONE_TIME_TAG_BYTES = 16,
};

struct vks_one_time_part {
    const void *bytes;
    size_t size_bytes;
};

/* What a key is derived from: together different for every message. */
struct vks_one_time_key {
    struct vks_one_time_part secret;
    struct vks_one_time_part salt;
    struct vks_one_time_part info;
};

/* *cipher* takes the text's length and the tag. 0 or -EIO. */
__attribute__((warn_unused_result)) int vks_one_time_seal(const struct vks_one_time_key *from,
                                                          struct vks_one_time_part aad, struct vks_one_time_part text,
                                                          uint8_t *cipher);
/*
 * *text* takes the cipher's length less the tag. 0, -EBADMSG: not what was sealed, or shorter than a tag, -EIO; *text*
 * is wiped unless 0.
 */
__attribute__((warn_unused_result)) int vks_one_time_open(const struct vks_one_time_key *from,
                                                          struct vks_one_time_part aad, struct vks_one_time_part cipher,
                                                          uint8_t *text);

#endif
