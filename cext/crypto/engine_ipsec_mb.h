/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libipsec-mb (Intel Multi-Buffer Crypto for IPsec): AES-GCM one by one, HMAC-SHA-256 in bursts.
 *
 * Only engine_ipsec_mb.c sees the library's header, whose structures are part of its interface: it is built where that
 * header is, and takes a library of that version only.
 */
#ifndef VKS_ENGINE_IPSEC_MB_H
#define VKS_ENGINE_IPSEC_MB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"

enum {
    IPSEC_MB_ALIGNMENT = 64,
    IPSEC_MB_GCM_CONTEXT_BYTES = 128, /* at most */
    IPSEC_MB_BURST_MAX = 8,
    IPSEC_MB_HMAC_BYTES = 32,
    IPSEC_MB_HMAC_STATE_BYTES = 32,
};

struct gcm_key_data;
struct gcm_context_data;

typedef void ipsec_mb_gcm_expand(const void *key, struct gcm_key_data *expanded);
/* *text_bytes*, *aad_bytes* and *tag_bytes* as they follow their pointers, none of which may be NULL; the nonce is 12.
 */
typedef void ipsec_mb_gcm(const struct gcm_key_data *key, struct gcm_context_data *context, uint8_t *output,
                          const uint8_t *text, uint64_t text_bytes, const uint8_t *nonce, const uint8_t *aad,
                          uint64_t aad_bytes, uint8_t *tag, uint64_t tag_bytes);
typedef void ipsec_mb_one_block(const void *block, void *state);

/* One message of at least a byte. The states are SHA-256's after the first block of each hash (FIPS 198-1). */
struct ipsec_mb_hmac {
    const uint8_t *inner;
    const uint8_t *outer;
    const uint8_t *message;
    uint32_t message_bytes;
    uint8_t *tag;
};

/* Of at most IPSEC_MB_BURST_MAX messages; false where any was not computed. */
typedef bool ipsec_mb_hmac_burst(void *manager, const struct ipsec_mb_hmac *messages, uint32_t count);

/* What was found; NULL where it was not. Tests put their own in. */
struct ipsec_mb {
    size_t gcm_key_bytes;
    ipsec_mb_gcm_expand *gcm_expand[2]; /* AES-128, AES-256 */
    ipsec_mb_gcm *gcm_encrypt[2];
    ipsec_mb_gcm *gcm_decrypt[2];
    ipsec_mb_one_block *sha256_one_block;
    ipsec_mb_hmac_burst *hmac_sha256;
};

extern struct ipsec_mb vks_ipsec_mb;

/* The functions that this machine's library computes rightly, bits by enum vks_engine_function. */
uint32_t vks_ipsec_mb_open(void);
/* What bursts are computed in, of the arena; one thread's. NULL where memory is short. */
void *vks_ipsec_mb_manager_new(void);

/* Known answers; all are of public inputs. */
bool vks_ipsec_mb_check_gcm(void);
bool vks_ipsec_mb_check_hmac(void *manager);

static inline void *vks_ipsec_mb_align(void *block)
{
    return (uint8_t *)block + (-(uintptr_t)block & (IPSEC_MB_ALIGNMENT - 1));
}

#endif
