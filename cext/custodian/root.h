/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root of trust: where the key encryption key (KEK) comes from. Kind 1 is a file, opened by keystored, read and
 * written only here.
 *
 *   file: "vmm-keystore kek 1\n" | KEK, 32 random bytes | SHA-256 of all before
 *
 * The checksum tells a damaged file from a wrong one before any key fails to unseal; a hash of 32 random bytes gives
 * nothing away.
 */
#ifndef VKS_ROOT_H
#define VKS_ROOT_H

#include <stdbool.h>
#include <stdint.h>

enum vks_root_limit {
    VKS_KEK_BYTES = 32,
    VKS_ROOT_KIND_FILE = 1,
};

/*
 * Load the KEK from an open file, or make one in an empty file and write it durably. The directory entry is the
 * caller's to make durable. 0, or: -EALREADY a KEK is loaded, -EACCES not a regular file of this user that nobody else
 * may read, -EEXIST to create but not empty, -ENODATA to open but empty, -EINVAL not a KEK file (size or first line),
 * -EBADMSG checksum, or the errno of reading and writing; a file that could not be written is empty again.
 */
__attribute__((warn_unused_result)) int vks_root_open_file(int fd, bool create);
/* The KEK, or NULL while none is loaded. */
const uint8_t *vks_root_kek(void);

#endif
