/* SPDX-License-Identifier: Apache-2.0 */
/*
 * RSA signatures side by side (RFC 8017, 8), by the Chinese remainder theorem.
 *
 * The library neither blinds nor checks. So the number that goes in is blinded (rsa_engine_key.h), and what comes out
 * is released only if the public exponent turns it back into the encoded message: one wrong half would give the key
 * away. Dead lanes do what the first one does.
 */
#include "batch_private.h"

#include <openssl/crypto.h>
#include <string.h>

#include "engine_crypto_mb.h"
#include "rsa_engine_key.h"
#include "secret_arena.h"

enum {
    MODULUS_BYTES_MAX = 512,
};

/* Made at first use, by the lane's own thread, and wiped after each. */
static struct scratch {
    struct rsa_unblinding *unblinding;
    uint8_t (*encoded)[MODULUS_BYTES_MAX];
    uint8_t (*number)[MODULUS_BYTES_MAX];
    uint8_t (*signature)[MODULUS_BYTES_MAX];
    uint8_t *buffer;
    size_t buffer_bytes;
} scratches[VKS_LANE_COUNT];

static bool scratch_ready(struct scratch *scratch, uint32_t modulus_bytes)
{
    size_t buffer_bytes = vks_crypto_mb_rsa_buffer_bytes(modulus_bytes * 8);

    if (scratch->encoded == NULL) {
        scratch->unblinding = vks_rsa_unblinding_new();
        scratch->encoded = vks_secret_alloc(3 * VKS_BATCH_LANES * sizeof(*scratch->encoded));
        if (scratch->unblinding == NULL || scratch->encoded == NULL) {
            vks_rsa_unblinding_free(scratch->unblinding);
            vks_secret_free(scratch->encoded);
            scratch->encoded = NULL;
            return false;
        }
        scratch->number = scratch->encoded + VKS_BATCH_LANES;
        scratch->signature = scratch->number + VKS_BATCH_LANES;
    }
    if (scratch->buffer_bytes < buffer_bytes) {
        vks_secret_free(scratch->buffer);
        scratch->buffer = vks_secret_alloc(buffer_bytes);
        scratch->buffer_bytes = scratch->buffer ? buffer_bytes : 0;
    }
    return scratch->buffer != NULL;
}

static void scratch_wipe(struct scratch *scratch)
{
    OPENSSL_cleanse(scratch->encoded, 3 * VKS_BATCH_LANES * sizeof(*scratch->encoded));
    OPENSSL_cleanse(scratch->buffer, scratch->buffer_bytes);
}

static bool encode(const struct rsa_engine_key *key, const struct vks_operation *operation, enum vks_lane lane,
                   uint8_t *encoded)
{
    uint8_t buffer[VKS_HASH_BYTES_MAX];
    const uint8_t *digest = vks_op_digest(operation, lane, buffer);

    return digest && vks_rsa_engine_key_encode(key, operation->mechanism, digest, encoded);
}

/* From blinded numbers in *number* to the same in *signature*, before the blinding is taken away. */
static crypto_mb_status private_operation(const struct rsa_engine_key *const keys[VKS_BATCH_LANES], int modulus_bits,
                                          struct scratch *scratch, uint32_t count)
{
    const uint64_t *p[VKS_BATCH_LANES], *q[VKS_BATCH_LANES], *dp[VKS_BATCH_LANES], *dq[VKS_BATCH_LANES],
        *iq[VKS_BATCH_LANES];
    const uint8_t *from[VKS_BATCH_LANES];
    uint8_t *to[VKS_BATCH_LANES];

    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        const struct rsa_words *words = vks_rsa_engine_key_words(keys[i]);

        p[i] = words->p;
        q[i] = words->q;
        dp[i] = words->dp;
        dq[i] = words->dq;
        iq[i] = words->iq;
        from[i] = scratch->number[i < count ? i : 0];
        to[i] = scratch->signature[i];
    }
    return vks_crypto_mb.rsa_private_crt(from, to, p, q, dp, dq, iq, modulus_bits,
                                         vks_crypto_mb.rsa_private_crt_method(modulus_bits), scratch->buffer);
}

static crypto_mb_status public_operation(const struct rsa_engine_key *const keys[VKS_BATCH_LANES], int modulus_bits,
                                         struct scratch *scratch)
{
    const uint64_t *n[VKS_BATCH_LANES];
    const uint8_t *from[VKS_BATCH_LANES];
    uint8_t *to[VKS_BATCH_LANES];

    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        n[i] = vks_rsa_engine_key_words(keys[i])->n;
        from[i] = scratch->signature[i];
        to[i] = scratch->number[i];
    }
    return vks_crypto_mb.rsa_public(from, to, n, modulus_bits, vks_crypto_mb.rsa_public_method(modulus_bits),
                                    scratch->buffer);
}

static void sign(struct vks_batch_work *work, uint32_t count, struct rsa_engine_key *const keys[VKS_BATCH_LANES],
                 struct scratch *scratch)
{
    const struct rsa_engine_key *const *read = (const struct rsa_engine_key *const *)keys;
    uint32_t modulus_bytes = work[0].key->kind->size_bytes;
    int modulus_bits = (int)modulus_bytes * 8;
    crypto_mb_status status = private_operation(read, modulus_bits, scratch, count);

    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
        if (i >= count)
            memcpy(scratch->signature[i], scratch->signature[0], modulus_bytes);
        else if (vks_crypto_mb_lane_ok(status, i) &&
                 !vks_rsa_engine_key_unblind(keys[i], scratch->signature[i], scratch->unblinding, i))
            return;
    status |= public_operation(read, modulus_bits, scratch);
    for (uint32_t i = 0; i < count; i++) {
        if (!vks_crypto_mb_lane_ok(status, i) ||
            CRYPTO_memcmp(scratch->number[i], scratch->encoded[i], modulus_bytes) != 0)
            continue;
        memcpy(work[i].operation->output, scratch->signature[i], modulus_bytes);
        work[i].operation->output_bytes = modulus_bytes;
        work[i].done = true;
    }
}

void vks_batch_rsa(struct vks_batch_work *work, uint32_t count, enum vks_lane lane)
{
    struct scratch *scratch = &scratches[lane];
    struct rsa_engine_key *keys[VKS_BATCH_LANES] = {NULL};
    bool ready = true;

    if (!scratch_ready(scratch, work[0].key->kind->size_bytes))
        return;
    for (uint32_t i = 0; i < count && ready; i++) {
        keys[i] = vks_rsa_engine_key_of(work[i].key, lane);
        ready = keys[i] && encode(keys[i], work[i].operation, lane, scratch->encoded[i]) &&
                vks_rsa_engine_key_blind(keys[i], scratch->encoded[i], scratch->number[i], scratch->unblinding, i);
    }
    for (uint32_t i = count; i < VKS_BATCH_LANES && ready; i++)
        keys[i] = keys[0];
    if (ready)
        sign(work, count, keys, scratch);
    scratch_wipe(scratch);
}
