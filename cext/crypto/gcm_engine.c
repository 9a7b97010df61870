/* SPDX-License-Identifier: Apache-2.0 */
/* AES-GCM by libipsec-mb. Knows expanded keys; must not know where nonces come from. */
#include "gcm_engine.h"

#include <openssl/crypto.h>
#include <stdalign.h>

enum {
    TAG_BYTES = 16,
};

/* For the library no pointer is NULL, not even of nothing. */
static uint8_t nothing[1];

static uint32_t size_of(uint32_t key_bytes)
{
    return key_bytes == 32;
}

static bool expand(const struct vks_key *key, enum vks_lane lane, uint8_t *block)
{
    vks_ipsec_mb.gcm_expand[size_of(key->material_bytes)](key->material, vks_ipsec_mb_align(block));
    return true;
}

const struct gcm_key_data *vks_gcm_engine_key(struct vks_key *key, enum vks_lane lane)
{
    uint8_t *block;

    if (!vks_engine_serves(VKS_ENGINE_AES_GCM))
        return NULL;
    block = vks_key_engine_part(key, lane, vks_ipsec_mb.gcm_key_bytes + IPSEC_MB_ALIGNMENT, expand);
    return block ? vks_ipsec_mb_align(block) : NULL;
}

void vks_gcm_engine_encrypt(const struct gcm_key_data *expanded, uint32_t key_bytes, const uint8_t *nonce,
                            const uint8_t *aad, uint32_t aad_bytes, const uint8_t *text, uint32_t text_bytes,
                            uint8_t *sealed)
{
    alignas(IPSEC_MB_ALIGNMENT) uint8_t context[IPSEC_MB_GCM_CONTEXT_BYTES];

    vks_ipsec_mb.gcm_encrypt[size_of(key_bytes)](expanded, (struct gcm_context_data *)context, sealed,
                                                 text_bytes ? text : nothing, text_bytes, nonce,
                                                 aad_bytes ? aad : nothing, aad_bytes, sealed + text_bytes, TAG_BYTES);
    OPENSSL_cleanse(context, sizeof(context));
}

bool vks_gcm_engine_decrypt(const struct gcm_key_data *expanded, uint32_t key_bytes, const uint8_t *nonce,
                            const uint8_t *aad, uint32_t aad_bytes, const uint8_t *sealed, uint32_t text_bytes,
                            uint8_t *text)
{
    alignas(IPSEC_MB_ALIGNMENT) uint8_t context[IPSEC_MB_GCM_CONTEXT_BYTES];
    uint8_t tag[TAG_BYTES] = {0};
    bool same;

    vks_ipsec_mb.gcm_decrypt[size_of(key_bytes)](expanded, (struct gcm_context_data *)context,
                                                 text_bytes ? text : nothing, sealed, text_bytes, nonce,
                                                 aad_bytes ? aad : nothing, aad_bytes, tag, TAG_BYTES);
    same = CRYPTO_memcmp(tag, sealed + text_bytes, TAG_BYTES) == 0;
    OPENSSL_cleanse(context, sizeof(context));
    OPENSSL_cleanse(tag, sizeof(tag));
    return same;
}
