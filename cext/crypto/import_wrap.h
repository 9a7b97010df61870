/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How a key travels from whoever has its file to the custodian: wrapped to a one-time X25519 key (an offer), so that
 * nothing between the two can read it.
 *
 *   wrapped   version byte | ephemeral public key | AES-256-GCM of (type | material), tag
 *   key       HKDF-SHA256(X25519(ephemeral, offer), info "vmm-keystore import v1" | offer id | ephemeral | offer key)
 *
 * Type is a little-endian u32, material is in the form of key_material.h.
 */
#ifndef VKS_IMPORT_WRAP_H
#define VKS_IMPORT_WRAP_H

#include <openssl/evp.h>
#include <stddef.h>
#include <stdint.h>

#include "key_slot.h"
#include "one_time_aead.h"

enum vks_import_limit {
    VKS_IMPORT_WRAPPED_OVERHEAD = 1 + 32 + 4 + VKS_ONE_TIME_TAG_BYTES,
    VKS_IMPORT_WRAPPED_BYTES_MAX = VKS_IMPORT_WRAPPED_OVERHEAD + VKS_KEY_MATERIAL_BYTES_MAX,
};

/* *wrapped* takes material_bytes + VKS_IMPORT_WRAPPED_OVERHEAD. 0, -EINVAL or -EIO. */
__attribute__((warn_unused_result)) int vks_import_wrap(const struct vks_custodian_offer *offer, uint32_t type,
                                                        const uint8_t *material, size_t material_bytes,
                                                        uint8_t *wrapped);
/*
 * *private_key* is the offer's. The material is in the arena, for vks_secret_free. 0, -EBADMSG: not wrapped to this
 * offer or not whole, -ENOMEM, -EIO.
 */
__attribute__((warn_unused_result)) int vks_import_unwrap(const struct vks_custodian_offer *offer,
                                                          EVP_PKEY *private_key, const uint8_t *wrapped,
                                                          size_t wrapped_bytes, uint32_t *type, uint8_t **material,
                                                          size_t *material_bytes);

#endif
