/* SPDX-License-Identifier: Apache-2.0 */
/* Scalars, nonces and digests as an engine takes them. Knows curves' orders; must not know who signs. */
#include "ecdsa_engine_key.h"

#include <openssl/bn.h>
#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <string.h>

/* SP 800-186, 3.2.1.3 and 3.2.1.4: n. */
static const char p256_order[] = "ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551";
static const char p384_order[] =
    "ffffffffffffffffffffffffffffffffffffffffffffffffc7634d81f4372ddf581a0db248b0a77aecec196accc52973";

/* Made at first use, by the lane's own thread. */
static struct maker {
    BIGNUM *nonce;
    BIGNUM *order[2]; /* P-256, P-384 */
} makers[VKS_LANE_COUNT];

static bool maker_ready(struct maker *maker)
{
    if (maker->nonce)
        return true;
    if (BN_hex2bn(&maker->order[0], p256_order) == 0 || BN_hex2bn(&maker->order[1], p384_order) == 0)
        return false;
    maker->nonce = BN_new();
    if (maker->nonce == NULL)
        return false;
    BN_set_flags(maker->nonce, BN_FLG_CONSTTIME);
    return true;
}

bool vks_ecdsa_make_nonce(uint32_t order_bytes, enum vks_lane lane, uint64_t words[VKS_ECDSA_WORDS_MAX])
{
    struct maker *maker = &makers[lane];
    const BIGNUM *order;
    bool made;

    if (!maker_ready(maker))
        return false;
    order = maker->order[order_bytes > 32];

    do
        made = BN_priv_rand_range(maker->nonce, order) == 1;
    while (made && BN_is_zero(maker->nonce));
    made = made && BN_bn2lebinpad(maker->nonce, (uint8_t *)words, (int)order_bytes) == (int)order_bytes;
    BN_clear(maker->nonce);
    return made;
}

static bool make_scalar(const struct vks_key *key, enum vks_lane lane, uint8_t *words)
{
    int order_bytes = (int)key->kind->size_bytes;
    BIGNUM *scalar = NULL;
    bool made = EVP_PKEY_get_bn_param(key->pkey, OSSL_PKEY_PARAM_PRIV_KEY, &scalar) == 1 &&
                BN_bn2lebinpad(scalar, words, order_bytes) == order_bytes;

    BN_clear_free(scalar);
    return made;
}

const uint64_t *vks_ecdsa_scalar(struct vks_key *key, enum vks_lane lane)
{
    return (const uint64_t *)(void *)vks_key_engine_part(key, lane, VKS_ECDSA_ORDER_BYTES_MAX, make_scalar);
}

bool vks_ecdsa_set_digest(const struct vks_operation *operation, uint32_t order_bytes, enum vks_lane lane, uint8_t *to)
{
    uint32_t digest_bytes = vks_hash_bytes(vks_mechanism_hash(operation->mechanism));
    uint8_t buffer[VKS_HASH_BYTES_MAX];
    const uint8_t *digest = vks_op_digest(operation, lane, buffer);

    if (digest == NULL)
        return false;
    if (digest_bytes > order_bytes)
        digest_bytes = order_bytes;
    memset(to, 0, order_bytes - digest_bytes);
    memcpy(to + order_bytes - digest_bytes, digest, digest_bytes);
    return true;
}
