/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where the secret of a root of trust comes from: a file that keystored was started with and never reads, or whoever
 * typed it, wrapped to an offer as an import is.
 */
#ifndef VKS_ROOT_SECRET_H
#define VKS_ROOT_SECRET_H

#include "ipc.h"
#include "root_file.h"

/*
 * *fd* is the file's, -1 where there is none; *wrapped* has secret->wrapped_bytes. The bytes are in the arena, for
 * vks_root_secret_release, and none where the source is none. 0, or: -EINVAL no such source, or its bytes or
 * descriptor are missing, -EFBIG more than VKS_ROOT_SECRET_BYTES_MAX, -ENOENT no such offer, -EILSEQ not wrapped to
 * it, -ENOMEM, or the errno of reading.
 */
__attribute__((warn_unused_result)) int vks_root_secret_take(const struct vks_custodian_secret *secret, int fd,
                                                             const uint8_t *wrapped,
                                                             struct vks_root_secret_input *input);
void vks_root_secret_release(struct vks_root_secret_input *input);

#endif
