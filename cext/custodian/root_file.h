/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The KEK file, in the two forms that it has. All numbers little-endian.
 *
 *   in the clear   "vmm-keystore kek 1\n" | KEK, 32 random bytes | SHA-256 of all before
 *   sealed         "vmm-keystore kek 2\n" | kind, 1 byte | Argon2id's memory in KiB, passes, lanes, 4 bytes each
 *                  | salt, 32 random bytes | AES-256-GCM of the KEK, tag | blob | SHA-256 of all before
 *
 *   key            HKDF-SHA256(secret, salt, info "vmm-keystore root v1"); the secret is Argon2id(passphrase, salt) for
 *                  a passphrase, else random bytes, and the three costs are zero
 *   aad            everything before the sealed KEK
 *   blob           of a TPM, at most VKS_ROOT_BLOB_BYTES_MAX, or of a token, VKS_ROOT_HSM_BLOB_BYTES: what it gives the
 *                  secret back for; else nothing
 *
 * The checksum tells a damaged file from a wrong secret; a hash of 32 random bytes gives nothing away.
 */
#ifndef VKS_ROOT_FILE_H
#define VKS_ROOT_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"

enum vks_root_file_limit {
    VKS_KEK_BYTES = 32,
    VKS_PASSPHRASE_BYTES_MIN = 8, /* of a new one: NIST SP 800-63B, 5.1.1.1 */
    VKS_CREDENTIAL_BYTES_MIN = 32,
    VKS_ROOT_SECRET_BYTES_MAX = 1024,
    VKS_ROOT_BLOB_BYTES_MAX = 2048,
};

/* What opens a sealed KEK; in the arena. */
struct vks_root_secret_input {
    const uint8_t *bytes; /* NULL: none was given */
    size_t size_bytes;
};

struct vks_root_blob {
    const uint8_t *bytes;
    uint32_t size_bytes;
};

/*
 * Read the KEK. *kind* is set as soon as the file has said it. 0, or: -ENODATA the file is empty, -EINVAL not a KEK
 * file, -EBADMSG checksum, -ENOKEY it takes a secret and none was given, -EKEYREJECTED not the secret, -ENOMEM, or
 * the errno of reading.
 */
__attribute__((warn_unused_result)) int vks_root_file_read(int fd, const struct vks_root_secret_input *secret,
                                                           uint32_t *kind, uint8_t kek[VKS_KEK_BYTES]);
/*
 * Write a KEK into an empty file, durably; the directory entry is the caller's to make durable. 0, or: -EEXIST not
 * empty, -EINVAL no such kind or not its blob, -ENOKEY no secret for a kind that takes one, -EDOM a passphrase or
 * credential that is too short, -ENOMEM, -EIO, or the errno of writing; the file is empty again then.
 */
__attribute__((warn_unused_result)) int vks_root_file_write(int fd, uint32_t kind,
                                                            const struct vks_root_secret_input *secret,
                                                            const struct vks_root_blob *blob,
                                                            const uint8_t kek[VKS_KEK_BYTES]);

#endif
