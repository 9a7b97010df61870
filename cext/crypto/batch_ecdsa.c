/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ECDSA signatures side by side (FIPS 186-5, 6.4.1).
 *
 * The nonces are made here, one for each signature: uniform below the order, of libcrypto's private generator, never
 * zero, kept nowhere. Dead lanes sign what the first one signs, with its nonce: the same signature once more.
 */
#include <openssl/crypto.h>
#include <string.h>

#include "batch_private.h"
#include "ecdsa_engine_key.h"
#include "engine_crypto_mb.h"
#include "vmm_keystore.h"

_Static_assert((int)CRYPTO_MB_LANES == (int)VKS_BATCH_LANES, "a batch fills the library's lanes");

struct scratch {
    uint8_t digest[VKS_BATCH_LANES][VKS_ECDSA_ORDER_BYTES_MAX];
    uint64_t nonce[VKS_BATCH_LANES][VKS_ECDSA_WORDS_MAX];
    uint8_t signature[VKS_BATCH_LANES][2 * VKS_ECDSA_ORDER_BYTES_MAX];
};

static void sign(struct vks_batch_work *work, uint32_t count, struct scratch *scratch,
                 const uint64_t *const scalars[VKS_BATCH_LANES])
{
    uint32_t order_bytes = work[0].key->kind->size_bytes;
    crypto_mb_ecdsa_sign *engine = order_bytes > 32 ? vks_crypto_mb.p384_sign : vks_crypto_mb.p256_sign;
    const uint8_t *digests[VKS_BATCH_LANES];
    const uint64_t *nonces[VKS_BATCH_LANES];
    uint8_t *r[VKS_BATCH_LANES], *s[VKS_BATCH_LANES];
    crypto_mb_status status;

    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        uint32_t from = i < count ? i : 0;

        digests[i] = scratch->digest[from];
        nonces[i] = scratch->nonce[from];
        r[i] = scratch->signature[i];
        s[i] = scratch->signature[i] + order_bytes;
    }
    status = engine(r, s, digests, nonces, scalars, NULL);
    for (uint32_t i = 0; i < count; i++) {
        if (!vks_crypto_mb_lane_ok(status, i))
            continue;
        memcpy(work[i].operation->output, scratch->signature[i], 2 * (size_t)order_bytes);
        work[i].operation->output_bytes = 2 * order_bytes;
        work[i].done = true;
    }
}

void vks_batch_ecdsa(struct vks_batch_work *work, uint32_t count, enum vks_lane lane)
{
    uint32_t order_bytes = work[0].key->kind->size_bytes;
    const uint64_t *scalars[VKS_BATCH_LANES] = {NULL};
    struct scratch scratch = {0};
    bool ready = true;

    for (uint32_t i = 0; i < count && ready; i++) {
        scalars[i] = vks_ecdsa_scalar(work[i].key, lane);
        ready = scalars[i] && vks_ecdsa_set_digest(work[i].operation, order_bytes, lane, scratch.digest[i]) &&
                vks_ecdsa_make_nonce(order_bytes, lane, scratch.nonce[i]);
    }
    for (uint32_t i = count; i < VKS_BATCH_LANES && ready; i++)
        scalars[i] = scalars[0];
    if (ready)
        sign(work, count, &scratch, scalars);
    OPENSSL_cleanse(&scratch, sizeof(scratch));
}
