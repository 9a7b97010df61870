/* SPDX-License-Identifier: Apache-2.0 */
/* ECDSA (FIPS 186-4) on P-256 and P-384, signatures as r || s (IEEE P1363); libcrypto speaks DER. */
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/ec.h>

#include "nonce_pool.h"
#include "op_family.h"
#include "vmm_keystore.h"

enum {
    ORDER_BYTES_MAX = 48,
    DER_BYTES_MAX = 2 * (ORDER_BYTES_MAX + 3) + 3,
};

static uint32_t sizes(const struct vks_key_kind *kind, const struct vks_operation *operation)
{
    return vks_op_digest_sizes(operation);
}

static uint32_t output_bytes(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    return op == VKS_OP_SIGN ? 2 * kind->size_bytes : 0;
}

/* A context initialised once; it takes digests of any mechanism of the curve. */
static EVP_PKEY_CTX *pkey_context(struct vks_key *key, uint32_t op, enum vks_lane lane)
{
    struct vks_key_lane *of = vks_key_lane(key, lane);
    struct vks_key_context *cached;
    int ready;

    if (of == NULL)
        return NULL;
    cached = op == VKS_OP_SIGN ? &of->private_use : &of->public_use;
    if (cached->context)
        return cached->context;
    cached->context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (cached->context == NULL)
        return NULL;
    ready = op == VKS_OP_SIGN ? EVP_PKEY_sign_init(cached->context) : EVP_PKEY_verify_init(cached->context);
    if (ready == 1)
        return cached->context;
    EVP_PKEY_CTX_free(cached->context);
    cached->context = NULL;
    return NULL;
}

static bool raw_from_der(const uint8_t *der, size_t der_bytes, uint8_t *raw, uint32_t order_bytes)
{
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)der_bytes);
    bool done = signature && BN_bn2binpad(ECDSA_SIG_get0_r(signature), raw, (int)order_bytes) == (int)order_bytes &&
                BN_bn2binpad(ECDSA_SIG_get0_s(signature), raw + order_bytes, (int)order_bytes) == (int)order_bytes;

    ECDSA_SIG_free(signature);
    return done;
}

/* Length of the DER form, or 0. */
static size_t der_from_raw(const uint8_t *raw, uint32_t order_bytes, uint8_t der[DER_BYTES_MAX])
{
    ECDSA_SIG *signature = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(raw, (int)order_bytes, NULL);
    BIGNUM *s = BN_bin2bn(raw + order_bytes, (int)order_bytes, NULL);
    int der_bytes = 0;

    if (signature && r && s && ECDSA_SIG_set0(signature, r, s) == 1) {
        r = NULL;
        s = NULL;
        der_bytes = i2d_ECDSA_SIG(signature, &der);
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(signature);
    return der_bytes > 0 ? (size_t)der_bytes : 0;
}

static uint32_t run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    EVP_PKEY_CTX *context;
    uint32_t order_bytes = key->kind->size_bytes;
    size_t digest_bytes = vks_hash_bytes(vks_mechanism_hash(operation->mechanism));
    uint8_t buffer[VKS_HASH_BYTES_MAX];
    uint8_t der[DER_BYTES_MAX];
    const uint8_t *digest;
    size_t der_bytes = sizeof(der);

    if (operation->op == VKS_OP_SIGN && key->kind->type == VKS_KEY_TYPE_EC_P256 && lane == VKS_LANE_FAST &&
        vks_nonce_pool_sign(key, operation))
        return VKS_STATUS_OK;
    context = pkey_context(key, operation->op, lane);
    digest = vks_op_digest(operation, lane, buffer);
    if (context == NULL || digest == NULL)
        return VKS_STATUS_INTERNAL;
    if (operation->op == VKS_OP_SIGN) {
        if (EVP_PKEY_sign(context, der, &der_bytes, digest, digest_bytes) != 1 ||
            !raw_from_der(der, der_bytes, operation->output, order_bytes))
            return VKS_STATUS_INTERNAL;
        operation->output_bytes = 2 * order_bytes;
        return VKS_STATUS_OK;
    }
    if (operation->parameter_bytes != 2 * order_bytes)
        return VKS_STATUS_AUTH_FAILED;
    der_bytes = der_from_raw(operation->parameter, order_bytes, der);
    if (der_bytes == 0)
        return VKS_STATUS_INTERNAL;
    return EVP_PKEY_verify(context, der, der_bytes, digest, digest_bytes) == 1 ? VKS_STATUS_OK : VKS_STATUS_AUTH_FAILED;
}

const struct vks_op_family vks_op_ecdsa = {sizes, output_bytes, run};
