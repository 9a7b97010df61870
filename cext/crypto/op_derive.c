/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Derived secrets: ECDH (SP 800-56A rev. 3, 5.7.1.2) on P-256 and P-384, X25519 (RFC 7748), and HKDF (RFC 5869) of
 * either's shared secret or of an HMAC key.
 *
 * What comes out leaves the vault; the key itself and, with HKDF, the shared secret do not.
 */
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "op_family.h"
#include "vmm_keystore.h"

enum {
    SHARED_BYTES_MAX = 48,
    POINT_UNCOMPRESSED = 0x04, /* SEC 1, 2.3.3 */
};

static uint32_t sizes(const struct vks_key_kind *kind, const struct vks_operation *operation)
{
    uint32_t extra_bytes_max = operation->mechanism == VKS_MECHANISM_ECDH ? 0 : VKS_SECRET_BYTES_MAX;

    if (operation->parameter_bytes != vks_key_kind_point_bytes(kind) || operation->aad_bytes > extra_bytes_max ||
        operation->input_bytes > extra_bytes_max)
        return VKS_STATUS_INPUT_SIZE;
    if (operation->output_bytes_max == 0 || operation->output_bytes_max > VKS_SECRET_BYTES_MAX)
        return VKS_STATUS_MALFORMED;
    return VKS_STATUS_OK;
}

static uint32_t output_bytes(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    return kind->size_bytes;
}

/* NULL where the bytes are no point of the curve, or memory is short. */
static EVP_PKEY *peer_key(const struct vks_key *key, const uint8_t *bytes, size_t size)
{
    EVP_PKEY *peer;

    if (key->kind->family == VKS_KEY_FAMILY_X25519)
        return EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, bytes, size);
    /* libcrypto would also take the hybrid form, which says the same twice. */
    if (bytes[0] != POINT_UNCOMPRESSED || (peer = EVP_PKEY_new()) == NULL)
        return NULL;
    if (EVP_PKEY_copy_parameters(peer, key->pkey) == 1 && EVP_PKEY_set1_encoded_public_key(peer, bytes, size) == 1)
        return peer;
    EVP_PKEY_free(peer);
    return NULL;
}

/* The lane's context, initialised once. */
static EVP_PKEY_CTX *agreement_context(struct vks_key *key, enum vks_lane lane)
{
    struct vks_key_lane *of = vks_key_lane(key, lane);
    EVP_PKEY_CTX **context;

    if (of == NULL)
        return NULL;
    context = &of->derive;
    if (*context)
        return *context;
    *context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (*context && EVP_PKEY_derive_init(*context) == 1)
        return *context;
    EVP_PKEY_CTX_free(*context);
    *context = NULL;
    return NULL;
}

/*
 * The shared secret, as long as the curve's field. That the peer's point is on the curve has been checked when it was
 * decoded, and with a cofactor of 1 that is all there is to check (SP 800-56A, 5.6.2.3.4): libcrypto's own check would
 * multiply once more. X25519 refuses the points that give zero.
 */
static uint32_t agree(struct vks_key *key, const struct vks_operation *operation, enum vks_lane lane, uint8_t *shared)
{
    EVP_PKEY_CTX *context = agreement_context(key, lane);
    EVP_PKEY *peer = peer_key(key, operation->parameter, operation->parameter_bytes);
    size_t shared_bytes = key->kind->size_bytes;
    uint32_t status = VKS_STATUS_INTERNAL;

    if (context && peer == NULL)
        status = VKS_STATUS_AUTH_FAILED;
    if (context && peer && EVP_PKEY_derive_set_peer_ex(context, peer, 0) == 1)
        status = EVP_PKEY_derive(context, shared, &shared_bytes) == 1 && shared_bytes == key->kind->size_bytes
                     ? VKS_STATUS_OK
                     : VKS_STATUS_AUTH_FAILED;
    EVP_PKEY_free(peer);
    return status;
}

static uint32_t expand(const struct vks_operation *operation, const uint8_t *from, size_t from_bytes)
{
    const char *hash = vks_hash_name(vks_mechanism_hash(operation->mechanism));
    EVP_KDF_CTX *context = EVP_KDF_CTX_new(vks_hkdf());
    OSSL_PARAM params[5];
    OSSL_PARAM *next = params;
    int done;

    if (context == NULL)
        return VKS_STATUS_INTERNAL;
    *next++ = OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST, (char *)(uintptr_t)hash, 0);
    *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_KEY, (void *)(uintptr_t)from, from_bytes);
    if (operation->aad_bytes)
        *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_SALT, (void *)(uintptr_t)operation->aad,
                                                    operation->aad_bytes);
    if (operation->input_bytes)
        *next++ = OSSL_PARAM_construct_octet_string(OSSL_KDF_PARAM_INFO, (void *)(uintptr_t)operation->input,
                                                    operation->input_bytes);
    *next = OSSL_PARAM_construct_end();
    done = EVP_KDF_derive(context, operation->output, operation->output_bytes_max, params);
    EVP_KDF_CTX_free(context);
    return done == 1 ? VKS_STATUS_OK : VKS_STATUS_INTERNAL;
}

static uint32_t run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    uint8_t shared[SHARED_BYTES_MAX];
    uint32_t status;

    if (operation->mechanism == VKS_MECHANISM_ECDH) {
        operation->output_bytes = key->kind->size_bytes;
        return agree(key, operation, lane, operation->output);
    }
    operation->output_bytes = operation->output_bytes_max;
    if (vks_key_kind_is_symmetric(key->kind))
        return expand(operation, key->material, key->material_bytes);
    status = agree(key, operation, lane, shared);
    if (status == VKS_STATUS_OK)
        status = expand(operation, shared, key->kind->size_bytes);
    OPENSSL_cleanse(shared, sizeof(shared));
    return status;
}

const struct vks_op_family vks_op_derive = {sizes, output_bytes, run};
