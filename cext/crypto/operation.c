/* SPDX-License-Identifier: Apache-2.0 */
/* Dispatch of operations. Knows which family serves a key and what every operation takes; must not know algorithms. */
#include "operation.h"

#include <openssl/err.h>
#include <openssl/x509.h>
#include <string.h>

#include "op_family.h"
#include "operation_plan.h"
#include "policy.h"
#include "vmm_keystore.h"

enum {
    SLOW_BYTES = 16384,
    KEY_WRAP_SLOW_BYTES = 256,
};

static const struct vks_op_family *const families[] = {
    [VKS_KEY_FAMILY_EC] = &vks_op_ecdsa,
    [VKS_KEY_FAMILY_ED25519] = &vks_op_pure_signature,
    [VKS_KEY_FAMILY_RSA] = &vks_op_rsa,
    [VKS_KEY_FAMILY_AES] = &vks_op_cipher,
    [VKS_KEY_FAMILY_HMAC] = &vks_op_mac,
    [VKS_KEY_FAMILY_CHACHA20] = &vks_op_cipher,
    [VKS_KEY_FAMILY_XTS] = &vks_op_cipher,
    [VKS_KEY_FAMILY_X25519] = &vks_op_derive,
    [VKS_KEY_FAMILY_ML_DSA] = &vks_op_pure_signature,
    [VKS_KEY_FAMILY_ML_KEM] = &vks_op_decapsulate,
};

/* A type's own family, but for what keys do beside their main use. */
static const struct vks_op_family *family_of(const struct vks_key_kind *kind, uint32_t mechanism)
{
    if (mechanism >= VKS_MECHANISM_ECDH && mechanism <= VKS_MECHANISM_HKDF_SHA512)
        return &vks_op_derive;
    if (mechanism == VKS_MECHANISM_AES_CMAC)
        return &vks_op_mac;
    if (mechanism == VKS_MECHANISM_AES_KW || mechanism == VKS_MECHANISM_AES_KWP)
        return &vks_op_key_wrap;
    return families[kind->family];
}

/* The mechanism meant, or VKS_MECHANISM_DEFAULT where type and operation have no such one. */
static uint32_t resolve(uint32_t key_type, uint32_t op, uint32_t mechanism)
{
    if (mechanism == VKS_MECHANISM_DEFAULT)
        mechanism = vks_policy_default_mechanism(key_type, op);
    if (mechanism >= VKS_MECHANISM_COUNT || op >= VKS_OP_COUNT ||
        !(vks_policy_type_mechanisms(key_type) & (UINT64_C(1) << mechanism)) ||
        !(vks_policy_mechanism_ops(mechanism) & (UINT64_C(1) << op)))
        return VKS_MECHANISM_DEFAULT;
    return mechanism;
}

/* What an operation never takes, whatever the mechanism: SPECIFICATION.md, 5. */
static bool has_only_its_parts(const struct vks_operation *operation)
{
    switch (operation->op) {
    case VKS_OP_PUBLIC:
    case VKS_OP_RANDOM:
        return operation->parameter_bytes == 0 && operation->aad_bytes == 0 && operation->input_bytes == 0;
    case VKS_OP_SIGN:
    case VKS_OP_MAC:
    case VKS_OP_DECAPSULATE:
        return operation->parameter_bytes == 0 && operation->aad_bytes == 0;
    case VKS_OP_DATA_KEY:
        return operation->parameter_bytes == 0 && operation->input_bytes == 0;
    case VKS_OP_VERIFY:
    case VKS_OP_MAC_VERIFY:
        return operation->aad_bytes == 0;
    default:
        return true;
    }
}

/* As with random: there are as many bytes as there is room for. */
static bool area_says_how_much(uint32_t op, uint32_t mechanism)
{
    return op == VKS_OP_DATA_KEY || (op == VKS_OP_DERIVE && mechanism != VKS_MECHANISM_ECDH);
}

static bool has_room(struct vks_operation *operation, uint32_t needed_bytes)
{
    if (operation->output_bytes_max >= needed_bytes)
        return true;
    operation->output_bytes = needed_bytes;
    return false;
}

static uint32_t run_public(struct vks_key *key, struct vks_operation *operation)
{
    if (key->pkey == NULL)
        return VKS_STATUS_UNSUPPORTED;
    if (key->public_der == NULL) {
        int public_bytes = i2d_PUBKEY(key->pkey, &key->public_der);

        ERR_clear_error();
        if (public_bytes <= 0 || (uint32_t)public_bytes > key->kind->public_bytes)
            return VKS_STATUS_INTERNAL;
        key->public_bytes = (uint32_t)public_bytes;
    }
    if (!has_room(operation, key->public_bytes))
        return VKS_STATUS_OUTPUT_SIZE;
    memcpy(operation->output, key->public_der, key->public_bytes);
    operation->output_bytes = key->public_bytes;
    return VKS_STATUS_OK;
}

bool vks_operation_needs_token(const struct vks_key *key, uint32_t op)
{
    return key->in_token && (op == VKS_OP_SIGN || op == VKS_OP_DECRYPT);
}

/* The rest of what a token does, up to the one step that takes the private key. */
static uint32_t run_for_token(const struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    uint32_t digest_bytes = vks_hash_bytes(vks_mechanism_hash(operation->mechanism));
    uint8_t buffer[VKS_HASH_BYTES_MAX];
    const uint8_t *digest;

    if (operation->op == VKS_OP_DECRYPT)
        return operation->input_bytes == key->kind->size_bytes ? VKS_OPERATION_IN_TOKEN : VKS_STATUS_AUTH_FAILED;
    digest = vks_op_digest(operation, lane, buffer);
    if (digest == NULL)
        return VKS_STATUS_INTERNAL;
    if (key->kind->family == VKS_KEY_FAMILY_EC && digest_bytes > key->kind->size_bytes)
        digest_bytes = key->kind->size_bytes;
    memcpy(operation->output, digest, digest_bytes);
    operation->output_bytes = digest_bytes;
    return VKS_OPERATION_IN_TOKEN;
}

uint32_t vks_operation_plan(const struct vks_key *key, struct vks_operation *operation, struct vks_plan *plan)
{
    struct vks_operation *resolved = &plan->resolved;
    uint32_t status;

    operation->output_bytes = 0;
    if (!has_only_its_parts(operation))
        return VKS_STATUS_MALFORMED;
    *resolved = *operation;
    resolved->mechanism = resolve(key->kind->type, operation->op, operation->mechanism);
    if (resolved->mechanism == VKS_MECHANISM_DEFAULT || (key->in_token && operation->op == VKS_OP_DERIVE))
        return VKS_STATUS_UNSUPPORTED;
    if ((operation->flags & VKS_REQUEST_F_DIGEST) &&
        ((operation->op != VKS_OP_SIGN && operation->op != VKS_OP_VERIFY) ||
         vks_mechanism_hash(resolved->mechanism) == VKS_HASH_NONE))
        return VKS_STATUS_UNSUPPORTED;
    plan->family = family_of(key->kind, resolved->mechanism);
    status = plan->family->sizes(key->kind, resolved);
    if (status != VKS_STATUS_OK)
        return status;
    plan->needed_bytes =
        area_says_how_much(resolved->op, resolved->mechanism)
            ? operation->output_bytes_max
            : plan->family->output_bytes(key->kind, resolved->op, resolved->mechanism, resolved->input_bytes);
    return has_room(operation, plan->needed_bytes) ? VKS_STATUS_OK : VKS_STATUS_OUTPUT_SIZE;
}

uint32_t vks_operation_carry_out(struct vks_key *key, struct vks_plan *plan, enum vks_lane lane)
{
    if (vks_operation_needs_token(key, plan->resolved.op))
        return run_for_token(key, &plan->resolved, lane);
    return plan->family->run(key, &plan->resolved, lane);
}

void vks_operation_finish(struct vks_operation *operation, const struct vks_plan *plan, uint32_t status)
{
    if (status == VKS_STATUS_OK || status == VKS_OPERATION_IN_TOKEN) {
        operation->output_bytes = plan->resolved.output_bytes;
        return;
    }
    if (plan->needed_bytes)
        explicit_bzero(operation->output, plan->needed_bytes);
    /* What went wrong stays here: neither the next operation nor anybody who times the queue's growth learns it. */
    ERR_clear_error();
}

static uint32_t run_family(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    struct vks_plan plan;
    uint32_t status = vks_operation_plan(key, operation, &plan);

    if (status != VKS_STATUS_OK)
        return status;
    status = vks_operation_carry_out(key, &plan, lane);
    vks_operation_finish(operation, &plan, status);
    return status;
}

uint32_t vks_operation_run(struct vks_key *key, struct vks_operation *operation, enum vks_lane lane)
{
    operation->output_bytes = 0;
    if (!has_only_its_parts(operation))
        return VKS_STATUS_MALFORMED;
    if (operation->op == VKS_OP_RANDOM)
        return vks_op_random(operation);
    if (key == NULL)
        return VKS_STATUS_INTERNAL;
    if (operation->op == VKS_OP_PUBLIC)
        return run_public(key, operation);
    return run_family(key, operation, lane);
}

uint32_t vks_operation_output_bytes(uint32_t key_type, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    const struct vks_key_kind *kind = vks_key_kind_find(key_type);

    if (kind == NULL)
        return 0;
    if (op == VKS_OP_PUBLIC)
        return kind->public_bytes;
    mechanism = resolve(key_type, op, mechanism);
    if (mechanism == VKS_MECHANISM_DEFAULT || area_says_how_much(op, mechanism))
        return 0;
    return family_of(kind, mechanism)->output_bytes(kind, op, mechanism, input_bytes);
}

bool vks_operation_is_slow(uint32_t key_type, uint32_t op, uint32_t mechanism, uint32_t input_bytes)
{
    const struct vks_key_kind *kind = vks_key_kind_find(key_type);

    if (input_bytes > SLOW_BYTES)
        return true;
    if (!kind)
        return false;
    /* Six blocks for every 8 bytes, by libcrypto's AES without the processor's instructions: 4 KiB take a millisecond.
     */
    if (mechanism == VKS_MECHANISM_AES_KW || mechanism == VKS_MECHANISM_AES_KWP)
        return input_bytes > KEY_WRAP_SLOW_BYTES;
    /* libcrypto has no fast code for P-384: 0.8 ms either way, four times an RSA-2048 signature. */
    if (kind->type == VKS_KEY_TYPE_EC_P384)
        return op == VKS_OP_SIGN || op == VKS_OP_VERIFY || op == VKS_OP_DERIVE;
    /* 0.2 to 0.4 ms to verify, 0.5 ms to several to sign: signing tries until a signature may be shown. */
    if (kind->family == VKS_KEY_FAMILY_ML_DSA)
        return op == VKS_OP_SIGN || op == VKS_OP_VERIFY;
    return kind->family == VKS_KEY_FAMILY_RSA && (op == VKS_OP_SIGN || op == VKS_OP_DECRYPT);
}

const uint8_t *vks_op_digest(const struct vks_operation *operation, enum vks_lane lane,
                             uint8_t buffer[VKS_HASH_BYTES_MAX])
{
    if (operation->flags & VKS_REQUEST_F_DIGEST)
        return operation->input;
    if (vks_hash_message(lane, vks_mechanism_hash(operation->mechanism), operation->input, operation->input_bytes,
                         buffer))
        return NULL;
    return buffer;
}

uint32_t vks_op_digest_sizes(const struct vks_operation *operation)
{
    if ((operation->flags & VKS_REQUEST_F_DIGEST) &&
        operation->input_bytes != vks_hash_bytes(vks_mechanism_hash(operation->mechanism)))
        return VKS_STATUS_INPUT_SIZE;
    return VKS_STATUS_OK;
}
