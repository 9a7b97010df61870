/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The key that signs checkpoints of the audit log: Ed25519, made and used here, kept by keystored as a sealed blob like
 * any other. It is sealed under a type of its own, so that no worker can be given it and no guest's key signs
 * checkpoints; and it signs nothing that is not a checkpoint.
 */
#ifndef VKS_AUDIT_KEY_H
#define VKS_AUDIT_KEY_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"
#include "seal.h"

/* Make a key: *sealed* takes VKS_SEAL_BYTES_MAX. 0, -ENOKEY without a KEK, or a negative errno. */
__attribute__((warn_unused_result)) int vks_audit_key_make(struct vks_custodian_audit_key *key, uint8_t *sealed);
/*
 * Sign *text*. 0, -EINVAL: no checkpoint, -EBADMSG: the blob is no audit key sealed by this KEK, -ENOKEY, or a negative
 * errno.
 */
__attribute__((warn_unused_result)) int vks_audit_key_sign(const uint8_t *sealed, size_t sealed_bytes,
                                                           const uint8_t *text, size_t text_bytes,
                                                           struct vks_custodian_audit_signature *signature);

#endif
