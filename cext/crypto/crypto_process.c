/* SPDX-License-Identifier: Apache-2.0 */
/* Start, warm-up and fork of a process that uses libcrypto. Knows the order of things; must not know real keys. */
#define OPENSSL_SUPPRESS_DEPRECATED /* RAND_METHOD: the one way to keep a DRBG from being made before the fork */
#include "crypto_process.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <string.h>

#include "algorithm.h"
#include "key_generate.h"
#include "key_kind.h"
#include "operation.h"
#include "policy.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "vmm_keystore.h"

enum {
    WARM_MESSAGE_BYTES = 48,
    WARM_OUTPUT_BYTES = 5120, /* a signature of ML-DSA-87 */
};

static int start(void)
{
    /* No exit handlers: a process of ours ends by exit of all threads, with locks in any state. */
    if (OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL) != 1)
        return -ENOTSUP;
    return vks_algorithm_fetch();
}

int vks_crypto_start(void)
{
    int error = vks_secret_arena_install();

    if (error == 0)
        error = vks_secret_arena_switch(0);
    return error ? error : start();
}

/* Not random at all: before the fork there is nothing to keep secret, and after it this is gone. */
static int dummy_bytes(unsigned char *bytes, int count)
{
    static uint64_t state = 0x9e3779b97f4a7c15;

    for (int i = 0; i < count; i++) {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes[i] = (unsigned char)(state >> 32);
    }
    return 1;
}

static int dummy_status(void)
{
    return 1;
}

static const RAND_METHOD dummy_method = {.bytes = dummy_bytes, .pseudorand = dummy_bytes, .status = dummy_status};

int vks_crypto_start_public(void)
{
    int error = vks_secret_arena_install();

    if (error)
        return error;
    if (RAND_set_rand_method(&dummy_method) != 1)
        return -ENOTSUP;
    return start();
}

/* Protect, then process what came out: both must say OK. */
static int warm_mechanism(struct vks_key *key, uint32_t mechanism, uint32_t protect)
{
    static const uint8_t message[WARM_MESSAGE_BYTES];
    static const uint8_t nonce[12];
    static const uint8_t tweak[16];
    uint8_t made[WARM_OUTPUT_BYTES];
    uint8_t back[WARM_OUTPUT_BYTES];
    struct vks_operation operation = {
        .op = protect,
        .mechanism = mechanism,
        .input = message,
        .input_bytes = sizeof(message),
        .output = made,
        .output_bytes_max = sizeof(made),
    };

    if (mechanism == VKS_MECHANISM_AES_GCM_OWN_NONCE || mechanism == VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE) {
        operation.parameter = nonce;
        operation.parameter_bytes = sizeof(nonce);
    } else if (mechanism == VKS_MECHANISM_AES_XTS) {
        operation.parameter = tweak;
        operation.parameter_bytes = sizeof(tweak);
    }
    if (vks_operation_run(key, &operation, VKS_LANE_FAST) != VKS_STATUS_OK)
        return -EIO;
    operation.op = protect + 1;
    if (protect == VKS_OP_ENCRYPT) {
        if (mechanism != VKS_MECHANISM_AES_XTS)
            operation.parameter_bytes = 0;
        operation.input = made;
        operation.input_bytes = operation.output_bytes;
    } else {
        operation.parameter = made;
        operation.parameter_bytes = operation.output_bytes;
    }
    operation.output = back;
    return vks_operation_run(key, &operation, VKS_LANE_FAST) == VKS_STATUS_OK ? 0 : -EIO;
}

/* With itself: the point or the 32 bytes are the end of its SubjectPublicKeyInfo. */
static int warm_derive(struct vks_key *key, uint32_t mechanism)
{
    uint32_t point_bytes = vks_key_kind_point_bytes(vks_key_kind_find(vks_key_type(key)));
    uint8_t public_der[WARM_OUTPUT_BYTES];
    uint8_t made[WARM_OUTPUT_BYTES];
    struct vks_operation operation = {
        .op = VKS_OP_PUBLIC, .output = public_der, .output_bytes_max = sizeof(public_der)};

    if (point_bytes) {
        if (vks_operation_run(key, &operation, VKS_LANE_FAST) != VKS_STATUS_OK)
            return -EIO;
        operation.parameter_bytes = point_bytes;
        operation.parameter = public_der + operation.output_bytes - operation.parameter_bytes;
    }
    operation.op = VKS_OP_DERIVE;
    operation.mechanism = mechanism;
    operation.output = made;
    operation.output_bytes_max = VKS_SECRET_BYTES_MAX;
    return vks_operation_run(key, &operation, VKS_LANE_FAST) == VKS_STATUS_OK ? 0 : -EIO;
}

/* Of zeros: nobody made that ciphertext, and implicit rejection runs all there is. */
static int warm_decapsulate(struct vks_key *key)
{
    static const uint8_t ciphertext[WARM_OUTPUT_BYTES];
    uint8_t made[WARM_OUTPUT_BYTES];
    struct vks_operation operation = {
        .op = VKS_OP_DECAPSULATE,
        .mechanism = VKS_MECHANISM_ML_KEM,
        .input = ciphertext,
        .input_bytes = vks_key_kind_find(vks_key_type(key))->size_bytes,
        .output = made,
        .output_bytes_max = sizeof(made),
    };

    return vks_operation_run(key, &operation, VKS_LANE_FAST) == VKS_STATUS_OK ? 0 : -EIO;
}

static int warm_key(struct vks_key *key)
{
    static const uint32_t protects[] = {VKS_OP_SIGN, VKS_OP_ENCRYPT, VKS_OP_MAC};
    uint64_t mechanisms = vks_policy_type_mechanisms(vks_key_type(key));
    int error = 0;

    for (uint32_t mechanism = 1; mechanism < VKS_MECHANISM_COUNT && error == 0; mechanism++)
        for (size_t i = 0; i < sizeof(protects) / sizeof(protects[0]) && error == 0; i++)
            if ((mechanisms & (UINT64_C(1) << mechanism)) &&
                (vks_policy_mechanism_ops(mechanism) & (UINT64_C(1) << protects[i])))
                error = warm_mechanism(key, mechanism, protects[i]);
    for (uint32_t mechanism = VKS_MECHANISM_ECDH; mechanism <= VKS_MECHANISM_HKDF_SHA512 && error == 0; mechanism++)
        if (mechanisms & (UINT64_C(1) << mechanism))
            error = warm_derive(key, mechanism);
    if (error == 0 && (mechanisms & (UINT64_C(1) << VKS_MECHANISM_ML_KEM)))
        error = warm_decapsulate(key);
    return error;
}

static int warm_type(uint32_t type)
{
    struct vks_key_slot slot = {.type = type};
    struct vks_key *key = NULL;
    uint8_t *material = NULL;
    size_t material_bytes = 0;
    int error = vks_key_generate(vks_key_kind_find(type), &material, &material_bytes);

    if (error == 0) {
        slot.material_bytes = (uint32_t)material_bytes;
        error = vks_key_load(&slot, material, &key);
    }
    if (error == 0)
        error = warm_key(key);
    vks_key_unref(key);
    vks_secret_free(material);
    return error;
}

_Static_assert(VKS_OP_VERIFY == VKS_OP_SIGN + 1 && VKS_OP_DECRYPT == VKS_OP_ENCRYPT + 1 &&
                   VKS_OP_MAC_VERIFY == VKS_OP_MAC + 1,
               "warm_mechanism finds the processing operation behind the protecting one");

int vks_crypto_warm_up(void)
{
    int error = 0;

    for (uint32_t type = VKS_KEY_TYPE_EC_P256; type < VKS_KEY_TYPE_COUNT && error == 0; type++) {
        /* Larger moduli run the same code, and their primes take seconds. */
        if (type == VKS_KEY_TYPE_RSA_3072 || type == VKS_KEY_TYPE_RSA_4096)
            continue;
        if (vks_algorithm_has(vks_key_kind_find(type)))
            error = warm_type(type);
    }
    return error;
}

int vks_crypto_after_fork(uint32_t further_stacks)
{
    int error = vks_secret_arena_switch((size_t)further_stacks * VKS_SECRET_STACK_BYTES);

    if (error)
        return error;
    return RAND_set_rand_method(NULL) == 1 ? 0 : -ENOTSUP;
}
