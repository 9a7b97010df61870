/* SPDX-License-Identifier: Apache-2.0 */
/* From operations of one class to the engine that serves it. Knows who serves what; must not know algorithms. */
#include "batch.h"

#include "batch_private.h"
#include "engine.h"
#include "vmm_keystore.h"

enum {
    HMAC_INPUT_BYTES_MAX = 1024,
};

/*
 * How an engine is used. A batch takes as long with one item as with eight; from *items_min on it beats libcrypto's
 * time for as many: measured with OpenSSL 3.0, which is slow with P-384 and moduli above 2048 bits.
 */
static const struct use {
    uint32_t items_min;
    void (*run)(struct vks_batch_work *work, uint32_t count, enum vks_lane lane);
} uses[VKS_ENGINE_FUNCTIONS] = {
    [VKS_ENGINE_P256_SIGN] = {3, vks_batch_ecdsa},      [VKS_ENGINE_P384_SIGN] = {1, vks_batch_ecdsa},
    [VKS_ENGINE_ED25519_SIGN] = {1, vks_batch_ed25519}, [VKS_ENGINE_X25519_DERIVE] = {2, vks_batch_x25519},
    [VKS_ENGINE_RSA_2048_SIGN] = {3, vks_batch_rsa},    [VKS_ENGINE_RSA_3072_SIGN] = {2, vks_batch_rsa},
    [VKS_ENGINE_RSA_4096_SIGN] = {2, vks_batch_rsa},    [VKS_ENGINE_HMAC_SHA256] = {6, vks_batch_hmac},
};

/* Who could do it; VKS_ENGINE_FUNCTIONS: nobody. */
static enum vks_engine_function function_of(const struct vks_key *key, uint32_t op, uint32_t mechanism)
{
    uint32_t type = key->kind->type;

    if (op == VKS_OP_DERIVE)
        return type == VKS_KEY_TYPE_X25519 && mechanism == VKS_MECHANISM_ECDH ? VKS_ENGINE_X25519_DERIVE
                                                                              : VKS_ENGINE_FUNCTIONS;
    if (op == VKS_OP_MAC)
        return type == VKS_KEY_TYPE_HMAC_SHA256 && mechanism == VKS_MECHANISM_HMAC_SHA256 ? VKS_ENGINE_HMAC_SHA256
                                                                                          : VKS_ENGINE_FUNCTIONS;
    if (op != VKS_OP_SIGN || (key->kind->family == VKS_KEY_FAMILY_RSA && !key->plain_rsa))
        return VKS_ENGINE_FUNCTIONS;
    switch (type) {
    case VKS_KEY_TYPE_EC_P256:
        return VKS_ENGINE_P256_SIGN;
    case VKS_KEY_TYPE_EC_P384:
        return VKS_ENGINE_P384_SIGN;
    case VKS_KEY_TYPE_ED25519:
        return VKS_ENGINE_ED25519_SIGN;
    case VKS_KEY_TYPE_RSA_2048:
        return VKS_ENGINE_RSA_2048_SIGN;
    case VKS_KEY_TYPE_RSA_3072:
        return VKS_ENGINE_RSA_3072_SIGN;
    case VKS_KEY_TYPE_RSA_4096:
        return VKS_ENGINE_RSA_4096_SIGN;
    default:
        return VKS_ENGINE_FUNCTIONS;
    }
}

uint32_t vks_batch_class(const struct vks_key *key, uint32_t op, uint32_t mechanism, uint32_t payload_bytes)
{
    enum vks_engine_function function;

    if (key == NULL || key->in_token || payload_bytes > VKS_BATCH_INPUT_BYTES_MAX)
        return 0;
    function = function_of(key, op, mechanism);
    if (function == VKS_ENGINE_FUNCTIONS || !vks_engine_serves(function))
        return 0;
    /* Above that, hashing side by side wins too little to wait for. */
    if (function == VKS_ENGINE_HMAC_SHA256 && payload_bytes > HMAC_INPUT_BYTES_MAX)
        return 0;
    return (uint32_t)function + 1;
}

static void run_by(const struct use *use, struct vks_batch_item *items, uint32_t count, enum vks_lane lane)
{
    struct vks_plan plans[VKS_BATCH_LANES];
    struct vks_batch_work work[VKS_BATCH_LANES];
    struct vks_batch_item *of[VKS_BATCH_LANES];
    uint32_t live = 0;

    for (uint32_t i = 0; i < count; i++) {
        items[i].status = vks_operation_plan(items[i].key, &items[i].operation, &plans[live]);
        if (items[i].status != VKS_STATUS_OK)
            continue;
        work[live] = (struct vks_batch_work){.key = items[i].key, .operation = &plans[live].resolved};
        of[live++] = &items[i];
    }
    if (live >= use->items_min)
        use->run(work, live, lane);
    for (uint32_t i = 0; i < live; i++) {
        if (!work[i].done)
            of[i]->status = vks_operation_carry_out(work[i].key, &plans[i], lane);
        vks_operation_finish(&of[i]->operation, &plans[i], of[i]->status);
    }
}

/* Of the first item, if it is that of all. */
static uint32_t common_class(const struct vks_batch_item *items, uint32_t count)
{
    uint32_t class = 0;

    for (uint32_t i = 0; i < count; i++) {
        uint32_t of = vks_batch_class(items[i].key, items[i].operation.op, items[i].operation.mechanism, 0);

        if (i > 0 && of != class)
            return 0;
        class = of;
    }
    return class;
}

void vks_batch_run(struct vks_batch_item *items, uint32_t count, enum vks_lane lane)
{
    uint32_t class = count <= VKS_BATCH_LANES ? common_class(items, count) : 0;

    if (class) {
        run_by(&uses[class - 1], items, count, lane);
        return;
    }
    for (uint32_t i = 0; i < count; i++)
        items[i].status = vks_operation_run(items[i].key, &items[i].operation, lane);
}
