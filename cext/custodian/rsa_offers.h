/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Offers for keys that something else wraps, such as another HSM: one-time RSA keys for the mechanism that PKCS#11
 * calls CKM_RSA_AES_KEY_WRAP (version 3.1, 6.1.28): an AES key under RSA-OAEP, behind it the key under that, wrapped as
 * RFC 5649 has it. Few live at a time, for a day; each is gone after one try, so that nobody can ask it twice.
 */
#ifndef VKS_RSA_OFFERS_H
#define VKS_RSA_OFFERS_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"
#include "key_kind.h"

enum vks_rsa_offer_limit {
    VKS_RSA_OFFERS_MAX = 8,
    VKS_RSA_OFFER_SECONDS = 24 * 60 * 60, /* time to carry it to where the key is, and back */
    VKS_RSA_OFFER_BITS = 3072,
};

/* *public_der*: SubjectPublicKeyInfo, for OPENSSL_free. 0, -EIO or -ENOMEM. */
__attribute__((warn_unused_result)) int vks_rsa_offer_make(uint8_t offer_id[16], uint8_t **public_der,
                                                           uint32_t *public_bytes);
/*
 * Take the offer out, whatever becomes of it, and unwrap. *material* is in the arena, for vks_secret_free, and not yet
 * looked at. 0, -ENOENT: no such offer, -EBADMSG: not wrapped to it, -EINVAL: a hash that is not offered, -ENOMEM.
 */
__attribute__((warn_unused_result)) int vks_rsa_offer_unwrap(const struct vks_custodian_import_rsa *import,
                                                             const uint8_t *wrapped, uint8_t **material,
                                                             size_t *material_bytes);

#endif
