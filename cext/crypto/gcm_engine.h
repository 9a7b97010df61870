/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM (SP 800-38D) by libipsec-mb, with 12 bytes of nonce and 16 of tag. */
#ifndef VKS_GCM_ENGINE_H
#define VKS_GCM_ENGINE_H

#include "engine_ipsec_mb.h"
#include "key_private.h"

/* The key expanded, kept with it from its first use on; NULL where libcrypto is to do it. */
const struct gcm_key_data *vks_gcm_engine_key(struct vks_key *key, enum vks_lane lane);
/* *sealed* has the text's length and a tag behind. What is of length 0 may be NULL. */
void vks_gcm_engine_encrypt(const struct gcm_key_data *expanded, uint32_t key_bytes, const uint8_t *nonce,
                            const uint8_t *aad, uint32_t aad_bytes, const uint8_t *text, uint32_t text_bytes,
                            uint8_t *sealed);
/* False where the tag is another: then the caller wipes *text*. */
__attribute__((warn_unused_result)) bool vks_gcm_engine_decrypt(const struct gcm_key_data *expanded, uint32_t key_bytes,
                                                                const uint8_t *nonce, const uint8_t *aad,
                                                                uint32_t aad_bytes, const uint8_t *sealed,
                                                                uint32_t text_bytes, uint8_t *text);

#endif
