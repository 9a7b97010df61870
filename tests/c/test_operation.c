/* SPDX-License-Identifier: Apache-2.0 */
/* Every operation against known answers, then the same inputs tried wrong in every length and a bit. */
#include <string.h>

#include "algorithm.h"
#include "check.h"
#include "crypto_process.h"
#include "engine.h"
#include "key_generate.h"
#include "key_kind.h"
#include "operation.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "vmm_keystore.h"

#include "crypto_vectors.h"

enum {
    BYTES_MAX = 8192,
    CANARY = 0xc5,
    SKIP = 77, /* meson: skipped */
};

struct bytes {
    uint8_t bytes[BYTES_MAX];
    uint32_t size;
};

static void from_hex(const char *hex, struct bytes *to)
{
    size_t digits = strlen(hex);

    CHECK("hex fits", digits / 2 <= BYTES_MAX && digits % 2 == 0);
    to->size = (uint32_t)(digits / 2);
    for (uint32_t i = 0; i < to->size; i++) {
        unsigned byte;

        CHECK_EQUAL("hex", sscanf(hex + 2 * i, "%2x", &byte), 1);
        to->bytes[i] = (uint8_t)byte;
    }
}

static struct vks_key *load(uint32_t type, const uint8_t *material, uint32_t material_bytes, int want)
{
    struct vks_key_slot slot = {
        .type = type, .version = 3, .nonce_lease = 0x01020304, .material_bytes = material_bytes};
    struct vks_key *key = NULL;

    CHECK_EQUAL("load", vks_key_load(&slot, material, &key), want);
    CHECK("key exactly when loaded", (key != NULL) == (want == 0));
    return key;
}

static struct vks_key *generate(uint32_t type)
{
    uint8_t *material;
    size_t material_bytes;
    struct vks_key *key;

    CHECK_EQUAL("generate", vks_key_generate(vks_key_kind_find(type), &material, &material_bytes), 0);
    key = load(type, material, (uint32_t)material_bytes, 0);
    vks_secret_free(material);
    return key;
}

/* Runs with an output area of exactly output_bytes_max and a canary behind it. */
static uint32_t run(struct vks_key *key, struct vks_operation *operation, uint8_t *output)
{
    uint32_t status;

    memset(output, CANARY, BYTES_MAX);
    operation->output = output;
    status = vks_operation_run(key, operation, VKS_LANE_FAST);
    for (uint32_t i = operation->output_bytes_max; i < BYTES_MAX; i++)
        CHECK_EQUAL("nothing behind the output area", output[i], CANARY);
    if (status != VKS_STATUS_OK && status != VKS_STATUS_OUTPUT_SIZE && status != VKS_OPERATION_IN_TOKEN)
        CHECK_EQUAL("no output bytes without OK", operation->output_bytes, 0);
    return status;
}

static struct bytes parameter, aad, input, expected;

static struct vks_operation vector_operation(const struct vector *vector)
{
    struct vks_operation operation = {.op = vector->op, .mechanism = vector->mechanism, .flags = vector->flags};

    from_hex(vector->parameter, &parameter);
    from_hex(vector->aad, &aad);
    from_hex(vector->input, &input);
    from_hex(vector->output, &expected);
    operation.parameter = parameter.size ? parameter.bytes : NULL;
    operation.parameter_bytes = parameter.size;
    operation.aad = aad.size ? aad.bytes : NULL;
    operation.aad_bytes = aad.size;
    operation.input = input.size ? input.bytes : NULL;
    operation.input_bytes = input.size;
    return operation;
}

/* One flipped bit (in the part of a long digest that a short curve uses) in signature, tag, ciphertext or message is
 * refused, and nothing of a plaintext stays behind. */
static void check_tampered(const struct vector *vector, struct vks_key *key, struct vks_operation operation)
{
    static uint8_t output[BYTES_MAX];
    uint8_t *targets[] = {parameter.bytes, aad.bytes, input.bytes};
    uint32_t sizes[] = {parameter.size, aad.size, input.size};

    for (int i = 0; i < 3; i++) {
        /* A changed nonce of CBC or CTR, or tweak of XTS, gives another text, not an error: there is no tag. */
        if (sizes[i] == 0 || vector->mechanism == VKS_MECHANISM_AES_CBC || vector->mechanism == VKS_MECHANISM_AES_CTR ||
            vector->mechanism == VKS_MECHANISM_AES_XTS)
            continue;
        targets[i][sizes[i] / 4] ^= 0x10;
        CHECK_EQUAL(vector->name, run(key, &operation, output), VKS_STATUS_AUTH_FAILED);
        for (uint32_t byte = 0; byte < expected.size; byte++)
            CHECK("text wiped or untouched", output[byte] == 0 || output[byte] == CANARY);
        targets[i][sizes[i] / 4] ^= 0x10;
    }
}

static void test_vectors(void)
{
    static uint8_t output[BYTES_MAX];
    static struct bytes material;

    for (size_t i = 0; i < sizeof(vectors) / sizeof(vectors[0]); i++) {
        const struct vector *vector = &vectors[i];
        struct vks_operation operation = vector_operation(vector);
        uint32_t needed;
        struct vks_key *key;

        from_hex(vector->key, &material);
        key = load(vector->type, material.bytes, material.size, 0);
        needed = vks_operation_output_bytes(vector->type, vector->op, vector->mechanism, operation.input_bytes);
        CHECK(vector->name, needed >= expected.size && needed <= BYTES_MAX);
        operation.output_bytes_max = needed;
        /* Twice: the second time with the cached context. */
        for (int round = 0; round < 2; round++) {
            CHECK_EQUAL(vector->name, run(key, &operation, output), vector->status);
            if (vector->status != VKS_STATUS_OK)
                continue;
            CHECK_EQUAL(vector->name, operation.output_bytes, expected.size);
            CHECK_EQUAL(vector->name, memcmp(output, expected.bytes, expected.size), 0);
        }
        if (vector->op == VKS_OP_VERIFY || vector->op == VKS_OP_MAC_VERIFY || vector->op == VKS_OP_DECRYPT)
            check_tampered(vector, key, operation);
        if (needed) {
            operation.output_bytes_max = needed - 1;
            CHECK_EQUAL(vector->name, run(key, &operation, output), VKS_STATUS_OUTPUT_SIZE);
            CHECK_EQUAL(vector->name, operation.output_bytes, needed);
        }
        vks_key_unref(key);
    }
}

static void test_round_trips(void)
{
    static const struct {
        uint32_t type, op, mechanism, flags, input_bytes;
    } cases[] = {
        {VKS_KEY_TYPE_EC_P256, VKS_OP_SIGN, VKS_MECHANISM_ECDSA_SHA256, 0, 0},
        {VKS_KEY_TYPE_EC_P256, VKS_OP_SIGN, VKS_MECHANISM_ECDSA_SHA512, VKS_REQUEST_F_DIGEST, 64},
        {VKS_KEY_TYPE_EC_P256, VKS_OP_SIGN, VKS_MECHANISM_DEFAULT, VKS_REQUEST_F_DIGEST, 32},
        {VKS_KEY_TYPE_EC_P384, VKS_OP_SIGN, VKS_MECHANISM_DEFAULT, 0, 100},
        {VKS_KEY_TYPE_ED25519, VKS_OP_SIGN, VKS_MECHANISM_DEFAULT, 0, 0},
        {VKS_KEY_TYPE_RSA_3072, VKS_OP_SIGN, VKS_MECHANISM_RSA_PSS_SHA384, 0, 77},
        {VKS_KEY_TYPE_RSA_3072, VKS_OP_SIGN, VKS_MECHANISM_DEFAULT, VKS_REQUEST_F_DIGEST, 32},
        {VKS_KEY_TYPE_RSA_2048, VKS_OP_ENCRYPT, VKS_MECHANISM_RSA_OAEP_SHA1, 0, 214},
        {VKS_KEY_TYPE_RSA_2048, VKS_OP_ENCRYPT, VKS_MECHANISM_RSA_OAEP_SHA512, 0, 0},
        {VKS_KEY_TYPE_AES_128, VKS_OP_ENCRYPT, VKS_MECHANISM_DEFAULT, 0, 0},
        {VKS_KEY_TYPE_AES_256, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_GCM, 0, 4000},
        {VKS_KEY_TYPE_AES_256, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_CBC, 0, 4000},
        {VKS_KEY_TYPE_AES_256, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_CBC, 0, 0},
        {VKS_KEY_TYPE_AES_256, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_CTR, 0, 4001},
        {VKS_KEY_TYPE_CHACHA20_POLY1305, VKS_OP_ENCRYPT, VKS_MECHANISM_DEFAULT, 0, 0},
        {VKS_KEY_TYPE_CHACHA20_POLY1305, VKS_OP_ENCRYPT, VKS_MECHANISM_CHACHA20_POLY1305, 0, 4001},
        {VKS_KEY_TYPE_HMAC_SHA384, VKS_OP_MAC, VKS_MECHANISM_DEFAULT, 0, 0},
        {VKS_KEY_TYPE_AES_128, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_KW, 0, 16},
        {VKS_KEY_TYPE_AES_256, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_KW, 0, VKS_KEY_WRAP_BYTES_MAX},
        {VKS_KEY_TYPE_AES_128, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_KWP, 0, 1},
        {VKS_KEY_TYPE_AES_256, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_KWP, 0, 8},
        {VKS_KEY_TYPE_AES_256, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_KWP, 0, 9},
        {VKS_KEY_TYPE_AES_256, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_KWP, 0, VKS_KEY_WRAP_BYTES_MAX},
        {VKS_KEY_TYPE_AES_128, VKS_OP_MAC, VKS_MECHANISM_AES_CMAC, 0, 0},
        {VKS_KEY_TYPE_AES_256, VKS_OP_MAC, VKS_MECHANISM_AES_CMAC, 0, 4001},
    };
    static uint8_t message[BYTES_MAX], made[BYTES_MAX], back[BYTES_MAX];

    for (uint32_t i = 0; i < BYTES_MAX; i++)
        message[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vks_key *key = generate(cases[i].type);
        struct vks_operation protect = {.op = cases[i].op,
                                        .mechanism = cases[i].mechanism,
                                        .flags = cases[i].flags,
                                        .input = cases[i].input_bytes ? message : NULL,
                                        .input_bytes = cases[i].input_bytes,
                                        .output_bytes_max = 5000};
        struct vks_operation process = protect;

        CHECK_EQUAL("protect", run(key, &protect, made), VKS_STATUS_OK);
        CHECK_EQUAL("bound is exact",
                    vks_operation_output_bytes(cases[i].type, protect.op, protect.mechanism, protect.input_bytes),
                    protect.output_bytes);
        process.op = protect.op + 1;
        if (protect.op == VKS_OP_ENCRYPT) {
            process.input = made;
            process.input_bytes = protect.output_bytes;
        } else {
            process.parameter = made;
            process.parameter_bytes = protect.output_bytes;
        }
        CHECK_EQUAL("process", run(key, &process, back), VKS_STATUS_OK);
        if (protect.op == VKS_OP_ENCRYPT) {
            CHECK_EQUAL("text length", process.output_bytes, cases[i].input_bytes);
            CHECK_EQUAL("text", memcmp(back, message, cases[i].input_bytes), 0);
            vks_key_unref(key);
            continue;
        }
        /* Signatures and tags of every other length are no signatures. */
        for (uint32_t bytes = 0; bytes < protect.output_bytes + 9; bytes++) {
            process.parameter_bytes = bytes;
            CHECK_EQUAL("length of signature or tag", run(key, &process, back),
                        bytes == protect.output_bytes ? VKS_STATUS_OK : VKS_STATUS_AUTH_FAILED);
        }
        vks_key_unref(key);
    }
}

/* One cached context, many labels: each request has its own, and none means the empty one. */
static void test_oaep_labels(void)
{
    static const struct {
        const char *label;
        uint32_t bytes;
    } labels[] = {{"first", 5}, {NULL, 0}, {"second", 6}, {NULL, 0}};
    static uint8_t sealed[4][BYTES_MAX], output[BYTES_MAX];
    struct vks_key *key = generate(VKS_KEY_TYPE_RSA_2048);

    for (int i = 0; i < 4; i++) {
        struct vks_operation encrypt = {.op = VKS_OP_ENCRYPT,
                                        .mechanism = VKS_MECHANISM_RSA_OAEP_SHA256,
                                        .parameter = (const uint8_t *)labels[i].label,
                                        .parameter_bytes = labels[i].bytes,
                                        .input = (const uint8_t *)"text",
                                        .input_bytes = 4,
                                        .output_bytes_max = 256};

        CHECK_EQUAL("encrypt", run(key, &encrypt, sealed[i]), VKS_STATUS_OK);
    }
    for (int with = 0; with < 4; with++)
        for (int of = 0; of < 4; of++) {
            struct vks_operation decrypt = {.op = VKS_OP_DECRYPT,
                                            .mechanism = VKS_MECHANISM_RSA_OAEP_SHA256,
                                            .parameter = (const uint8_t *)labels[with].label,
                                            .parameter_bytes = labels[with].bytes,
                                            .input = sealed[of],
                                            .input_bytes = 256,
                                            .output_bytes_max = 256};

            CHECK_EQUAL("label", run(key, &decrypt, output),
                        labels[with].bytes == labels[of].bytes ? VKS_STATUS_OK : VKS_STATUS_AUTH_FAILED);
        }
    vks_key_unref(key);
}

/* Lengths and combinations that must be told apart from bad ciphertexts. */
static void test_refused(void)
{
    static const struct {
        const char *name;
        uint32_t type, op, mechanism, flags, parameter_bytes, aad_bytes, input_bytes, want;
    } cases[] = {
#define P256   VKS_KEY_TYPE_EC_P256
#define AES    VKS_KEY_TYPE_AES_256
#define RSA    VKS_KEY_TYPE_RSA_2048
#define CHACHA VKS_KEY_TYPE_CHACHA20_POLY1305
#define XTS    VKS_KEY_TYPE_AES_256_XTS
#define HMAC   VKS_KEY_TYPE_HMAC_SHA256
#define X25519 VKS_KEY_TYPE_X25519
#define ML_DSA VKS_KEY_TYPE_ML_DSA_65
#define ML_KEM VKS_KEY_TYPE_ML_KEM_768
        {"unknown op", P256, VKS_OP_COUNT, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"op 0", P256, 0, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"op 64, a shift too far", P256, 64, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"op wraps", P256, UINT32_MAX, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"info is not ours", P256, VKS_OP_INFO, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"mechanism out of range", P256, VKS_OP_SIGN, VKS_MECHANISM_COUNT, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"mechanism wraps", P256, VKS_OP_SIGN, UINT32_MAX, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"mechanism of another type", P256, VKS_OP_SIGN, VKS_MECHANISM_ED25519, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"EC does not encrypt", P256, VKS_OP_ENCRYPT, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"AES does not sign", AES, VKS_OP_SIGN, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"AES has no public key", AES, VKS_OP_PUBLIC, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"OAEP mechanism does not sign", RSA, VKS_OP_SIGN, VKS_MECHANISM_RSA_OAEP_SHA256, 0, 0, 0, 0,
         VKS_STATUS_UNSUPPORTED},
        {"Ed25519 takes no digest", VKS_KEY_TYPE_ED25519, VKS_OP_SIGN, 0, VKS_REQUEST_F_DIGEST, 0, 0, 64,
         VKS_STATUS_UNSUPPORTED},
        {"encrypt takes no digest", AES, VKS_OP_ENCRYPT, 0, VKS_REQUEST_F_DIGEST, 0, 0, 32, VKS_STATUS_UNSUPPORTED},
        {"mac takes no digest", VKS_KEY_TYPE_HMAC_SHA256, VKS_OP_MAC, 0, VKS_REQUEST_F_DIGEST, 0, 0, 32,
         VKS_STATUS_UNSUPPORTED},
        {"digest too short", P256, VKS_OP_SIGN, 0, VKS_REQUEST_F_DIGEST, 0, 0, 31, VKS_STATUS_INPUT_SIZE},
        {"digest too long", P256, VKS_OP_SIGN, 0, VKS_REQUEST_F_DIGEST, 0, 0, 33, VKS_STATUS_INPUT_SIZE},
        {"digest of nothing", RSA, VKS_OP_SIGN, 0, VKS_REQUEST_F_DIGEST, 0, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"digest to verify too long", RSA, VKS_OP_VERIFY, 0, VKS_REQUEST_F_DIGEST, 256, 0, 48, VKS_STATUS_INPUT_SIZE},
        {"sign with a parameter", P256, VKS_OP_SIGN, 0, 0, 1, 0, 0, VKS_STATUS_MALFORMED},
        {"sign with associated data", P256, VKS_OP_SIGN, 0, 0, 0, 1, 0, VKS_STATUS_MALFORMED},
        {"verify with associated data", P256, VKS_OP_VERIFY, 0, 0, 64, 1, 0, VKS_STATUS_MALFORMED},
        {"public with input", P256, VKS_OP_PUBLIC, 0, 0, 0, 0, 1, VKS_STATUS_MALFORMED},
        {"mac with a parameter", VKS_KEY_TYPE_HMAC_SHA256, VKS_OP_MAC, 0, 0, 32, 0, 0, VKS_STATUS_MALFORMED},
        {"a nonce for the device's nonces", AES, VKS_OP_ENCRYPT, 0, 0, 12, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"own nonce missing", AES, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_GCM_OWN_NONCE, 0, 0, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"own nonce short", AES, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_GCM_OWN_NONCE, 0, 11, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"own nonce long", AES, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_GCM_OWN_NONCE, 0, 13, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"own nonce at decrypt", AES, VKS_OP_DECRYPT, VKS_MECHANISM_AES_GCM_OWN_NONCE, 0, 12, 0, 28,
         VKS_STATUS_INPUT_SIZE},
        {"GCM shorter than nonce and tag", AES, VKS_OP_DECRYPT, 0, 0, 0, 0, 27, VKS_STATUS_INPUT_SIZE},
        {"GCM of nothing", AES, VKS_OP_DECRYPT, 0, 0, 0, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"GCM of zeros", AES, VKS_OP_DECRYPT, 0, 0, 0, 0, 28, VKS_STATUS_AUTH_FAILED},
        {"ChaCha20 shorter than nonce and tag", CHACHA, VKS_OP_DECRYPT, 0, 0, 0, 0, 27, VKS_STATUS_INPUT_SIZE},
        {"ChaCha20 of zeros", CHACHA, VKS_OP_DECRYPT, 0, 0, 0, 0, 28, VKS_STATUS_AUTH_FAILED},
        {"ChaCha20, a nonce for the device's", CHACHA, VKS_OP_ENCRYPT, 0, 0, 12, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"ChaCha20, own nonce missing", CHACHA, VKS_OP_ENCRYPT, VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE, 0, 0, 0, 0,
         VKS_STATUS_INPUT_SIZE},
        {"ChaCha20, own nonce of XChaCha20", CHACHA, VKS_OP_ENCRYPT, VKS_MECHANISM_CHACHA20_POLY1305_OWN_NONCE, 0, 24,
         0, 0, VKS_STATUS_INPUT_SIZE},
        {"ChaCha20 key for GCM", CHACHA, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_GCM, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"AES key for ChaCha20", AES, VKS_OP_ENCRYPT, VKS_MECHANISM_CHACHA20_POLY1305, 0, 0, 0, 0,
         VKS_STATUS_UNSUPPORTED},
        {"ChaCha20 key for a MAC", CHACHA, VKS_OP_MAC, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"CMAC encrypts nothing", AES, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_CMAC, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"CMAC has to be named", AES, VKS_OP_MAC, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"CMAC of an HMAC key", VKS_KEY_TYPE_HMAC_SHA256, VKS_OP_MAC, VKS_MECHANISM_AES_CMAC, 0, 0, 0, 0,
         VKS_STATUS_UNSUPPORTED},
        {"CMAC with a parameter", AES, VKS_OP_MAC, VKS_MECHANISM_AES_CMAC, 0, 16, 0, 0, VKS_STATUS_MALFORMED},
        {"CMAC tag missing", AES, VKS_OP_MAC_VERIFY, VKS_MECHANISM_AES_CMAC, 0, 0, 0, 0, VKS_STATUS_AUTH_FAILED},
#define KW  VKS_MECHANISM_AES_KW
#define KWP VKS_MECHANISM_AES_KWP
        {"KW of nothing", AES, VKS_OP_ENCRYPT, KW, 0, 0, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"KW of one unit", AES, VKS_OP_ENCRYPT, KW, 0, 0, 0, 8, VKS_STATUS_INPUT_SIZE},
        {"KW of a unit and a half", AES, VKS_OP_ENCRYPT, KW, 0, 0, 0, 20, VKS_STATUS_INPUT_SIZE},
        {"KW of too much", AES, VKS_OP_ENCRYPT, KW, 0, 0, 0, 4104, VKS_STATUS_INPUT_SIZE},
        {"KW with a parameter", AES, VKS_OP_ENCRYPT, KW, 0, 8, 0, 16, VKS_STATUS_INPUT_SIZE},
        {"KW with associated data", AES, VKS_OP_ENCRYPT, KW, 0, 0, 1, 16, VKS_STATUS_INPUT_SIZE},
        {"KW does no MAC", AES, VKS_OP_MAC, KW, 0, 0, 0, 16, VKS_STATUS_UNSUPPORTED},
        {"unwrap nothing", AES, VKS_OP_DECRYPT, KW, 0, 0, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"unwrap a unit less than there can be", AES, VKS_OP_DECRYPT, KW, 0, 0, 0, 16, VKS_STATUS_INPUT_SIZE},
        {"unwrap half a unit too much", AES, VKS_OP_DECRYPT, KW, 0, 0, 0, 28, VKS_STATUS_INPUT_SIZE},
        {"unwrap too much", AES, VKS_OP_DECRYPT, KW, 0, 0, 0, 4112, VKS_STATUS_INPUT_SIZE},
        {"unwrap with a parameter", AES, VKS_OP_DECRYPT, KW, 0, 8, 0, 24, VKS_STATUS_INPUT_SIZE},
        {"unwrap zeros", AES, VKS_OP_DECRYPT, KW, 0, 0, 0, 24, VKS_STATUS_AUTH_FAILED},
        {"unwrap as many zeros as there can be", AES, VKS_OP_DECRYPT, KW, 0, 0, 0, 4104, VKS_STATUS_AUTH_FAILED},
        {"KWP of nothing", AES, VKS_OP_ENCRYPT, KWP, 0, 0, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"KWP of too much", AES, VKS_OP_ENCRYPT, KWP, 0, 0, 0, 4097, VKS_STATUS_INPUT_SIZE},
        {"KWP with associated data", AES, VKS_OP_ENCRYPT, KWP, 0, 0, 1, 16, VKS_STATUS_INPUT_SIZE},
        {"unwrap padded nothing", AES, VKS_OP_DECRYPT, KWP, 0, 0, 0, 8, VKS_STATUS_INPUT_SIZE},
        {"unwrap padded half a unit too much", AES, VKS_OP_DECRYPT, KWP, 0, 0, 0, 20, VKS_STATUS_INPUT_SIZE},
        {"unwrap padded zeros", AES, VKS_OP_DECRYPT, KWP, 0, 0, 0, 16, VKS_STATUS_AUTH_FAILED},
        {"unwrap padded too much", AES, VKS_OP_DECRYPT, KWP, 0, 0, 0, 4112, VKS_STATUS_INPUT_SIZE},
        {"KW by a ChaCha20 key", CHACHA, VKS_OP_ENCRYPT, KW, 0, 0, 0, 16, VKS_STATUS_UNSUPPORTED},
        {"no peer", P256, VKS_OP_DERIVE, 0, 0, 0, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"peer too long", P256, VKS_OP_DERIVE, 0, 0, 66, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"peer of another curve", X25519, VKS_OP_DERIVE, 0, 0, 65, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"HMAC with a peer", HMAC, VKS_OP_DERIVE, 0, 0, 32, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"salt too long", HMAC, VKS_OP_DERIVE, 0, 0, 0, 1025, 0, VKS_STATUS_INPUT_SIZE},
        {"info too long", HMAC, VKS_OP_DERIVE, 0, 0, 0, 0, 1025, VKS_STATUS_INPUT_SIZE},
        {"more to derive than there is", HMAC, VKS_OP_DERIVE, 0, 0, 0, 0, 0, VKS_STATUS_MALFORMED},
        {"ECDH with a salt", P256, VKS_OP_DERIVE, VKS_MECHANISM_ECDH, 0, 65, 1, 0, VKS_STATUS_INPUT_SIZE},
        {"ECDH of an HMAC key", HMAC, VKS_OP_DERIVE, VKS_MECHANISM_ECDH, 0, 32, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"RSA does not derive", RSA, VKS_OP_DERIVE, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"X25519 does not sign", X25519, VKS_OP_SIGN, 0, 0, 0, 0, 32, VKS_STATUS_UNSUPPORTED},
        {"data key with an input", AES, VKS_OP_DATA_KEY, 0, 0, 0, 0, 1, VKS_STATUS_MALFORMED},
        {"data key too long", AES, VKS_OP_DATA_KEY, 0, 0, 0, 0, 0, VKS_STATUS_MALFORMED},
        {"data key by CBC", AES, VKS_OP_DATA_KEY, VKS_MECHANISM_AES_CBC, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"login is no operation", AES, VKS_OP_LOGIN, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"release is no operation", AES, VKS_OP_RELEASE, 0, 0, 0, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"XTS without a tweak", XTS, VKS_OP_ENCRYPT, 0, 0, 0, 0, 32, VKS_STATUS_INPUT_SIZE},
        {"XTS, tweak short", XTS, VKS_OP_ENCRYPT, 0, 0, 15, 0, 32, VKS_STATUS_INPUT_SIZE},
        {"XTS, tweak long", XTS, VKS_OP_DECRYPT, 0, 0, 17, 0, 32, VKS_STATUS_INPUT_SIZE},
        {"XTS decrypt without a tweak", XTS, VKS_OP_DECRYPT, 0, 0, 0, 0, 32, VKS_STATUS_INPUT_SIZE},
        {"XTS of nothing", XTS, VKS_OP_ENCRYPT, 0, 0, 16, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"XTS of less than a block", XTS, VKS_OP_ENCRYPT, 0, 0, 16, 0, 15, VKS_STATUS_INPUT_SIZE},
        {"XTS decrypt less than a block", XTS, VKS_OP_DECRYPT, 0, 0, 16, 0, 15, VKS_STATUS_INPUT_SIZE},
        {"XTS with associated data", XTS, VKS_OP_ENCRYPT, 0, 0, 16, 1, 32, VKS_STATUS_INPUT_SIZE},
        {"XTS key for CBC", XTS, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_CBC, 0, 0, 0, 32, VKS_STATUS_UNSUPPORTED},
        {"XTS key for CMAC", XTS, VKS_OP_MAC, VKS_MECHANISM_AES_CMAC, 0, 0, 0, 32, VKS_STATUS_UNSUPPORTED},
        {"AES key for XTS", AES, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_XTS, 0, 16, 0, 32, VKS_STATUS_UNSUPPORTED},
        {"CBC half a block", AES, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_CBC, 0, 0, 0, 8, VKS_STATUS_INPUT_SIZE},
        {"CBC decrypt half a block", AES, VKS_OP_DECRYPT, VKS_MECHANISM_AES_CBC, 0, 0, 0, 24, VKS_STATUS_INPUT_SIZE},
        {"CBC decrypt no IV", AES, VKS_OP_DECRYPT, VKS_MECHANISM_AES_CBC, 0, 0, 0, 15, VKS_STATUS_INPUT_SIZE},
        {"CTR decrypt no block", AES, VKS_OP_DECRYPT, VKS_MECHANISM_AES_CTR, 0, 0, 0, 15, VKS_STATUS_INPUT_SIZE},
        {"CBC with associated data", AES, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_CBC, 0, 0, 1, 16, VKS_STATUS_INPUT_SIZE},
        {"OAEP text too long", RSA, VKS_OP_ENCRYPT, VKS_MECHANISM_RSA_OAEP_SHA256, 0, 0, 0, 191, VKS_STATUS_INPUT_SIZE},
        {"OAEP label too long", RSA, VKS_OP_ENCRYPT, VKS_MECHANISM_RSA_OAEP_SHA256, 0, 8193, 0, 1,
         VKS_STATUS_INPUT_SIZE},
        {"OAEP with associated data", RSA, VKS_OP_ENCRYPT, VKS_MECHANISM_RSA_OAEP_SHA256, 0, 0, 1, 1,
         VKS_STATUS_INPUT_SIZE},
        {"OAEP ciphertext empty", RSA, VKS_OP_DECRYPT, VKS_MECHANISM_RSA_OAEP_SHA256, 0, 0, 0, 0,
         VKS_STATUS_AUTH_FAILED},
        {"OAEP ciphertext short", RSA, VKS_OP_DECRYPT, VKS_MECHANISM_RSA_OAEP_SHA256, 0, 0, 0, 255,
         VKS_STATUS_AUTH_FAILED},
        {"OAEP ciphertext long", RSA, VKS_OP_DECRYPT, VKS_MECHANISM_RSA_OAEP_SHA256, 0, 0, 0, 257,
         VKS_STATUS_AUTH_FAILED},
        {"OAEP ciphertext zero", RSA, VKS_OP_DECRYPT, VKS_MECHANISM_RSA_OAEP_SHA256, 0, 0, 0, 256,
         VKS_STATUS_AUTH_FAILED},
        {"ML-DSA takes no digest", ML_DSA, VKS_OP_SIGN, 0, VKS_REQUEST_F_DIGEST, 0, 0, 64, VKS_STATUS_UNSUPPORTED},
        {"ML-DSA does not decapsulate", ML_DSA, VKS_OP_DECAPSULATE, 0, 0, 0, 0, 1088, VKS_STATUS_UNSUPPORTED},
        {"no signature", ML_DSA, VKS_OP_VERIFY, 0, 0, 0, 0, 1, VKS_STATUS_AUTH_FAILED},
        {"signature short", ML_DSA, VKS_OP_VERIFY, 0, 0, 3308, 0, 1, VKS_STATUS_AUTH_FAILED},
        {"signature long", ML_DSA, VKS_OP_VERIFY, 0, 0, 3310, 0, 1, VKS_STATUS_AUTH_FAILED},
        {"signature zero", ML_DSA, VKS_OP_VERIFY, 0, 0, 3309, 0, 1, VKS_STATUS_AUTH_FAILED},
        {"ML-KEM does not sign", ML_KEM, VKS_OP_SIGN, 0, 0, 0, 0, 1, VKS_STATUS_UNSUPPORTED},
        {"ML-KEM does not derive", ML_KEM, VKS_OP_DERIVE, 0, 0, 1088, 0, 0, VKS_STATUS_UNSUPPORTED},
        {"no ciphertext", ML_KEM, VKS_OP_DECAPSULATE, 0, 0, 0, 0, 0, VKS_STATUS_INPUT_SIZE},
        {"ciphertext short", ML_KEM, VKS_OP_DECAPSULATE, 0, 0, 0, 0, 1087, VKS_STATUS_INPUT_SIZE},
        {"ciphertext long", ML_KEM, VKS_OP_DECAPSULATE, 0, 0, 0, 0, 1089, VKS_STATUS_INPUT_SIZE},
        {"ciphertext of another set", ML_KEM, VKS_OP_DECAPSULATE, 0, 0, 0, 0, 768, VKS_STATUS_INPUT_SIZE},
        {"ciphertext zero", ML_KEM, VKS_OP_DECAPSULATE, 0, 0, 0, 0, 1088, VKS_STATUS_OK},
        {"decapsulate with a parameter", ML_KEM, VKS_OP_DECAPSULATE, 0, 0, 1, 0, 1088, VKS_STATUS_MALFORMED},
        {"decapsulate with aad", ML_KEM, VKS_OP_DECAPSULATE, 0, 0, 0, 1, 1088, VKS_STATUS_MALFORMED},
    };
    static uint8_t zeros[BYTES_MAX + 1], output[BYTES_MAX];
    struct vks_key *keys[VKS_KEY_TYPE_COUNT] = {
        [P256] = generate(P256),
        [AES] = generate(AES),
        [RSA] = generate(RSA),
        [CHACHA] = generate(CHACHA),
        [XTS] = generate(XTS),
        [X25519] = generate(X25519),
        [VKS_KEY_TYPE_ED25519] = generate(VKS_KEY_TYPE_ED25519),
        [VKS_KEY_TYPE_HMAC_SHA256] = generate(VKS_KEY_TYPE_HMAC_SHA256),
    };

    for (uint32_t type = VKS_KEY_TYPE_ML_DSA_44; type < VKS_KEY_TYPE_COUNT; type++)
        keys[type] = vks_algorithm_has(vks_key_kind_find(type)) ? generate(type) : NULL;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vks_operation operation = {
            .op = cases[i].op,
            .mechanism = cases[i].mechanism,
            .flags = cases[i].flags,
            .parameter = zeros,
            .parameter_bytes = cases[i].parameter_bytes,
            .aad = zeros,
            .aad_bytes = cases[i].aad_bytes,
            .input = zeros,
            .input_bytes = cases[i].input_bytes,
            .output_bytes_max = 4096,
        };

        if (keys[cases[i].type] == NULL)
            continue; /* this libcrypto has no such keys: tests/post_quantum runs this with one that does */
        CHECK_EQUAL(cases[i].name, run(keys[cases[i].type], &operation, output), cases[i].want);
    }
    for (uint32_t type = 0; type < VKS_KEY_TYPE_COUNT; type++)
        vks_key_unref(keys[type]);
}

/* lease || counter from 1, GCM and CTR from the same counter, both lanes too; at the end of the counter LIMIT. */
static void test_nonces(void)
{
    struct vks_key *key = generate(VKS_KEY_TYPE_AES_256);
    static uint8_t output[BYTES_MAX];

    for (uint32_t i = 1; i <= 600; i++) {
        uint8_t want[16] = {1, 2, 3, 4, 0, 0, 0, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i, 0, 0, 0, 0};
        struct vks_operation operation = {.op = VKS_OP_ENCRYPT,
                                          .mechanism = i % 3 ? VKS_MECHANISM_AES_GCM : VKS_MECHANISM_AES_CTR,
                                          .output = output,
                                          .output_bytes_max = sizeof(output)};

        CHECK_EQUAL("encrypt", vks_operation_run(key, &operation, i % 2 ? VKS_LANE_FAST : VKS_LANE_SLOW),
                    VKS_STATUS_OK);
        CHECK_EQUAL("nonce", memcmp(output, want, i % 3 ? 12 : 16), 0);
    }
    vks_key_unref(key);
    key = generate(VKS_KEY_TYPE_CHACHA20_POLY1305);
    for (uint32_t i = 1; i <= 300; i++) {
        uint8_t want[12] = {1, 2, 3, 4, 0, 0, 0, 0, 0, 0, (uint8_t)(i >> 8), (uint8_t)i};
        struct vks_operation operation = {.op = VKS_OP_ENCRYPT, .output = output, .output_bytes_max = sizeof(output)};

        CHECK_EQUAL("encrypt", vks_operation_run(key, &operation, i % 2 ? VKS_LANE_FAST : VKS_LANE_SLOW),
                    VKS_STATUS_OK);
        CHECK_EQUAL("nonce", memcmp(output, want, sizeof(want)), 0);
    }
    vks_key_unref(key);
}

static void test_public_and_random(void)
{
    static uint8_t output[BYTES_MAX], again[BYTES_MAX];
    struct vks_key *key = generate(VKS_KEY_TYPE_EC_P256);
    struct vks_operation operation = {.op = VKS_OP_PUBLIC, .output_bytes_max = 91};

    CHECK_EQUAL("public", run(key, &operation, output), VKS_STATUS_OK);
    CHECK_EQUAL("public", operation.output_bytes, 91);
    operation.output_bytes_max = 90;
    CHECK_EQUAL("public", run(key, &operation, output), VKS_STATUS_OUTPUT_SIZE);
    CHECK_EQUAL("public", operation.output_bytes, 91);
    vks_key_unref(key);

    operation = (struct vks_operation){.op = VKS_OP_RANDOM, .output_bytes_max = 64};
    CHECK_EQUAL("random", run(NULL, &operation, output), VKS_STATUS_OK);
    CHECK_EQUAL("random", operation.output_bytes, 64);
    CHECK_EQUAL("random", run(NULL, &operation, again), VKS_STATUS_OK);
    CHECK("random twice", memcmp(output, again, 64) != 0);
    operation.output_bytes_max = 0;
    CHECK_EQUAL("random of nothing", run(NULL, &operation, output), VKS_STATUS_OK);
    operation.output_bytes_max = VKS_RANDOM_BYTES_MAX + 1;
    operation.output = output;
    CHECK_EQUAL("too much random", vks_operation_run(NULL, &operation, VKS_LANE_FAST), VKS_STATUS_MALFORMED);
    operation = (struct vks_operation){.op = VKS_OP_SIGN};
    CHECK_EQUAL("no key", vks_operation_run(NULL, &operation, VKS_LANE_FAST), VKS_STATUS_INTERNAL);
}

/* The same key without its private half, as one is loaded that lies in a token. */
static struct vks_key *public_half(struct vks_key *key)
{
    static uint8_t output[BYTES_MAX];
    struct vks_operation public = {.op = VKS_OP_PUBLIC, .output_bytes_max = BYTES_MAX};

    CHECK_EQUAL("public key", run(key, &public, output), VKS_STATUS_OK);
    return load(vks_key_type(key) | VKS_TYPE_F_TOKEN, output, public.output_bytes, 0);
}

static const struct in_token {
    uint32_t type;
    uint32_t mechanism;
    uint32_t digest_bytes; /* no longer than the order of a curve */
} in_token[] = {
    {VKS_KEY_TYPE_EC_P256, VKS_MECHANISM_ECDSA_SHA256, 32},
    {VKS_KEY_TYPE_EC_P256, VKS_MECHANISM_ECDSA_SHA512, 32},
    {VKS_KEY_TYPE_EC_P384, VKS_MECHANISM_ECDSA_SHA256, 32},
    {VKS_KEY_TYPE_EC_P384, VKS_MECHANISM_ECDSA_SHA512, 48},
    {VKS_KEY_TYPE_RSA_2048, VKS_MECHANISM_RSA_PSS_SHA512, 64},
    {VKS_KEY_TYPE_RSA_2048, VKS_MECHANISM_RSA_PKCS1_SHA384, 48},
};

/* Up to the private key everything is done and checked; what is public is done whole. */
static void test_in_token(void)
{
    static const uint8_t message[] = "message";
    static uint8_t output[BYTES_MAX], signature[BYTES_MAX];
    uint8_t digest[VKS_HASH_BYTES_MAX];

    for (size_t i = 0; i < sizeof(in_token) / sizeof(in_token[0]); i++) {
        const struct in_token *c = &in_token[i];
        struct vks_key *key = generate(c->type), *half = public_half(key);
        struct vks_operation sign = {.op = VKS_OP_SIGN,
                                     .mechanism = c->mechanism,
                                     .input = message,
                                     .input_bytes = sizeof(message),
                                     .output_bytes_max = BYTES_MAX};
        struct vks_operation verify = sign;

        CHECK("where it lies", vks_key_is_in_token(half) && !vks_key_is_in_token(key));
        CHECK_EQUAL("its type", vks_key_type(half), c->type);
        CHECK("who is asked",
              vks_operation_needs_token(half, VKS_OP_SIGN) && !vks_operation_needs_token(key, VKS_OP_SIGN));
        CHECK_EQUAL("hash",
                    vks_hash_message(VKS_LANE_FAST, vks_mechanism_hash(c->mechanism), message, sizeof(message), digest),
                    0);
        CHECK_EQUAL("digest", run(half, &sign, output), VKS_OPERATION_IN_TOKEN);
        CHECK_EQUAL("as long as it may be", sign.output_bytes, c->digest_bytes);
        CHECK("the digest", memcmp(output, digest, c->digest_bytes) == 0);
        CHECK_EQUAL("own signature", run(key, &sign, signature), VKS_STATUS_OK);
        verify.op = VKS_OP_VERIFY;
        verify.parameter = signature;
        verify.parameter_bytes = sign.output_bytes;
        CHECK_EQUAL("verified without a token", run(half, &verify, output), VKS_STATUS_OK);
        signature[0] ^= 1;
        CHECK_EQUAL("refused without a token", run(half, &verify, output), VKS_STATUS_AUTH_FAILED);
        sign.output_bytes_max = vks_operation_output_bytes(c->type, VKS_OP_SIGN, c->mechanism, sizeof(message)) - 1;
        CHECK_EQUAL("room for the signature", run(half, &sign, output), VKS_STATUS_OUTPUT_SIZE);
        vks_key_unref(half);
        vks_key_unref(key);
    }
}

static void test_decryption_in_token(void)
{
    static const uint8_t text[] = "text", peer[65];
    static uint8_t output[BYTES_MAX], ciphertext[BYTES_MAX];
    struct vks_key *key = generate(VKS_KEY_TYPE_RSA_2048), *half = public_half(key), *curve, *curve_half;
    struct vks_operation operation = {.op = VKS_OP_ENCRYPT,
                                      .mechanism = VKS_MECHANISM_RSA_OAEP_SHA256,
                                      .input = text,
                                      .input_bytes = sizeof(text),
                                      .output_bytes_max = BYTES_MAX};
    struct vks_operation derive = {.op = VKS_OP_DERIVE,
                                   .mechanism = VKS_MECHANISM_ECDH,
                                   .parameter = peer,
                                   .parameter_bytes = sizeof(peer),
                                   .output_bytes_max = 32};

    CHECK_EQUAL("encrypted without a token", run(half, &operation, ciphertext), VKS_STATUS_OK);
    operation.op = VKS_OP_DECRYPT;
    operation.input = ciphertext;
    operation.input_bytes = operation.output_bytes;
    CHECK_EQUAL("to be decrypted there", run(half, &operation, output), VKS_OPERATION_IN_TOKEN);
    CHECK_EQUAL("nothing made here", operation.output_bytes, 0);
    CHECK_EQUAL("and by the key itself", run(key, &operation, output), VKS_STATUS_OK);
    operation.input_bytes--;
    CHECK_EQUAL("no ciphertext of this key", run(half, &operation, output), VKS_STATUS_AUTH_FAILED);
    vks_key_unref(half);
    vks_key_unref(key);
    curve = generate(VKS_KEY_TYPE_EC_P256);
    curve_half = public_half(curve);
    CHECK_EQUAL("no agreement", run(curve_half, &derive, output), VKS_STATUS_UNSUPPORTED);
    vks_key_unref(curve_half);
    vks_key_unref(curve);
}

static void test_slow(void)
{
    CHECK("RSA sign", vks_operation_is_slow(VKS_KEY_TYPE_RSA_2048, VKS_OP_SIGN, 0, 0));
    CHECK("RSA decrypt", vks_operation_is_slow(VKS_KEY_TYPE_RSA_4096, VKS_OP_DECRYPT, 0, 256));
    CHECK("RSA verify", !vks_operation_is_slow(VKS_KEY_TYPE_RSA_4096, VKS_OP_VERIFY, 0, 16384));
    CHECK("P-384 verify", vks_operation_is_slow(VKS_KEY_TYPE_EC_P384, VKS_OP_VERIFY, 0, 0));
    CHECK("P-256 sign", !vks_operation_is_slow(VKS_KEY_TYPE_EC_P256, VKS_OP_SIGN, 0, 0));
    CHECK("16 KiB", !vks_operation_is_slow(VKS_KEY_TYPE_AES_128, VKS_OP_ENCRYPT, 0, 16384));
    CHECK("above 16 KiB", vks_operation_is_slow(VKS_KEY_TYPE_AES_128, VKS_OP_ENCRYPT, 0, 16385));
    CHECK("key wrap of a key", !vks_operation_is_slow(VKS_KEY_TYPE_AES_128, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_KW, 256));
    CHECK("KW of more", vks_operation_is_slow(VKS_KEY_TYPE_AES_128, VKS_OP_ENCRYPT, VKS_MECHANISM_AES_KW, 257));
    CHECK("KWP of more", vks_operation_is_slow(VKS_KEY_TYPE_AES_256, VKS_OP_DECRYPT, VKS_MECHANISM_AES_KWP, 264));
}

/* The same with engines in libcrypto's place, where they are. */
static int by_engines(void *argument)
{
    (void)argument;
    vks_engines_open();
    vks_engines_allow(UINT32_MAX);
    if (!vks_engine_serves(VKS_ENGINE_AES_GCM)) {
        fprintf(stderr, "skipped: no library for AES-GCM here\n");
        return SKIP;
    }
    test_vectors();
    test_round_trips();
    test_refused();
    test_nonces();
    return 0;
}

static int all(void *argument)
{
    size_t used;

    (void)argument;
    CHECK_EQUAL("warm up", vks_crypto_warm_up(), 0);
    test_vectors();
    used = vks_secret_arena_usage().used_bytes;
    test_vectors();
    CHECK_EQUAL("operations leak nothing", vks_secret_arena_usage().used_bytes, used);
    test_round_trips();
    test_oaep_labels();
    test_refused();
    test_nonces();
    test_public_and_random();
    test_in_token();
    test_decryption_in_token();
    test_slow();
    return 0;
}

int main(int argc, char **argv)
{
    CHECK_EQUAL("start", vks_crypto_start(), 0);
    if (argc > 1 && strcmp(argv[1], "engines") == 0)
        return vks_secret_call(by_engines, NULL);
    CHECK_EQUAL("all", vks_secret_call(all, NULL), 0);
    return 0;
}
