/* SPDX-License-Identifier: Apache-2.0 */
/* Offers: one-time X25519 keys to which imports are wrapped. The last VKS_OFFERS_MAX live, for a while, for one use. */
#ifndef VKS_OFFERS_H
#define VKS_OFFERS_H

#include <openssl/evp.h>

#include "ipc.h"

enum vks_offer_limit {
    VKS_OFFERS_MAX = 16,
    VKS_OFFER_SECONDS = 600, /* time to type a passphrase */
};

/* 0 or -EIO. */
__attribute__((warn_unused_result)) int vks_offer_make(struct vks_custodian_offer *offer);
/*
 * Take an offer out, whatever then becomes of the import; the private key is the caller's. -ENOENT: never made, used,
 * expired or pushed out.
 */
__attribute__((warn_unused_result)) int vks_offer_take(const uint8_t offer_id[16], struct vks_custodian_offer *offer,
                                                       EVP_PKEY **private_key);

#endif
