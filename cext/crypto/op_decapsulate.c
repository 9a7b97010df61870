/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ML-KEM decapsulation (FIPS 203). The shared secret leaves the vault.
 *
 * A ciphertext of the right length always gives one: where it was not made with this key's public part, a pseudorandom
 * secret that nobody else has (implicit rejection, FIPS 203, 6.3). What depends on it fails then, and not this.
 */
#include "op_family.h"
#include "vmm_keystore.h"

enum {
    SHARED_BYTES = 32,
};

static uint32_t sizes(const struct vks_key_kind *kind, const struct vks_operation *operation)
{
    return operation->input_bytes == kind->size_bytes ? VKS_STATUS_OK : VKS_STATUS_INPUT_SIZE;
}

static uint32_t output_bytes(const struct vks_key_kind *kind, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    return SHARED_BYTES;
}

/* The lane's context, initialised once. */
static EVP_PKEY_CTX *lane_context(struct vks_key *key, enum vks_lane lane)
{
    struct vks_key_lane *of = vks_key_lane(key, lane);
    EVP_PKEY_CTX **context;

    if (of == NULL)
        return NULL;
    context = &of->decapsulate;
    if (*context)
        return *context;
    *context = EVP_PKEY_CTX_new_from_pkey(NULL, key->pkey, NULL);
    if (*context && EVP_PKEY_decapsulate_init(*context, NULL) == 1)
        return *context;
    EVP_PKEY_CTX_free(*context);
    *context = NULL;
    return NULL;
}

static uint32_t run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    EVP_PKEY_CTX *context = lane_context(key, lane);
    size_t shared_bytes = SHARED_BYTES;

    if (context == NULL ||
        EVP_PKEY_decapsulate(context, operation->output, &shared_bytes, operation->input, operation->input_bytes) != 1)
        return VKS_STATUS_INTERNAL;
    operation->output_bytes = SHARED_BYTES;
    return shared_bytes == SHARED_BYTES ? VKS_STATUS_OK : VKS_STATUS_INTERNAL;
}

const struct vks_op_family vks_op_decapsulate = {sizes, output_bytes, run};
