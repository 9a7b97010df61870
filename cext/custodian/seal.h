/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Sealed key material, the only form in which the store sees a key.
 *
 *   blob   "VKS" 0x01 | salt, 32 random bytes | AES-256-GCM of the material, tag
 *   key    HKDF-SHA256(KEK, salt, info "vmm-keystore seal v1"), used for this blob only
 *   aad    the first four bytes | key id | version | type, little-endian: a blob opens under its own name only
 */
#ifndef VKS_SEAL_H
#define VKS_SEAL_H

#include <stddef.h>
#include <stdint.h>

#include "key_slot.h"
#include "one_time_aead.h"

enum vks_seal_limit {
    VKS_SEAL_OVERHEAD = 4 + 32 + VKS_ONE_TIME_TAG_BYTES,
    VKS_SEAL_BYTES_MAX = VKS_SEAL_OVERHEAD + VKS_KEY_MATERIAL_BYTES_MAX,
};

struct vks_seal_name {
    uint8_t key_id[16];
    uint32_t version;
    uint32_t type;
};

/* *sealed* takes material_bytes + VKS_SEAL_OVERHEAD. 0, -ENOKEY without a KEK, -EIO. */
__attribute__((warn_unused_result)) int vks_seal(const struct vks_seal_name *name, const uint8_t *material,
                                                 size_t material_bytes, uint8_t *sealed);
/*
 * *material* takes sealed_bytes - VKS_SEAL_OVERHEAD and may be any memory: the plaintext is written nowhere else. 0,
 * -ENOKEY, -EBADMSG: sealed under this name neither by the current KEK nor by the one before, -EIO.
 */
__attribute__((warn_unused_result)) int vks_unseal(const struct vks_seal_name *name, const uint8_t *sealed,
                                                   size_t sealed_bytes, uint8_t *material);
/*
 * Under the next KEK what is sealed under the current one; *resealed* takes sealed_bytes and may not overlap. 0,
 * -ENOKEY without either KEK, -EBADMSG, -ENOMEM, -EIO.
 */
__attribute__((warn_unused_result)) int vks_reseal(const struct vks_seal_name *name, const uint8_t *sealed,
                                                   size_t sealed_bytes, uint8_t *resealed);

#endif
