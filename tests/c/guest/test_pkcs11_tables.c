/* SPDX-License-Identifier: BSD-3-Clause */
/* Statuses, key types and mechanisms: none is forgotten, and each says one thing. */
#include <errno.h>
#include <string.h>

#include "../check.h"
#include "key_type.h"
#include "mechanism.h"
#include "parameter.h"
#include "status.h"

/* The lists as OASIS counts them; callers index into them. */
_Static_assert(sizeof(CK_FUNCTION_LIST) == (1 + 68) * sizeof(void *), "2.40 has 68 functions");
_Static_assert(sizeof(CK_FUNCTION_LIST_3_0) == (1 + 68 + 24) * sizeof(void *), "3.0 has 24 more");
_Static_assert(sizeof(CK_FUNCTION_LIST_3_2) == (1 + 68 + 24 + 12) * sizeof(void *), "3.2 has 12 more");
_Static_assert(sizeof(void *) != 8 || (sizeof(CK_TOKEN_INFO) == 208 && sizeof(CK_SLOT_INFO) == 112), "as on Linux");
_Static_assert(sizeof(void *) != 8 || (sizeof(CK_INFO) == 88 && sizeof(CK_HKDF_PARAMS) == 64), "as on Linux");

static const struct {
    int error;
    enum status_use use;
    CK_RV rv;
} statuses[] = {
    {VKS_STATUS_OK, STATUS_PROTECT, CKR_OK},
    {VKS_STATUS_FOREIGN_NOTSUPP, STATUS_PROTECT, CKR_TOKEN_NOT_RECOGNIZED},
    {VKS_STATUS_MALFORMED, STATUS_PROTECT, CKR_GENERAL_ERROR},
    {VKS_STATUS_VERSION, STATUS_PROTECT, CKR_TOKEN_NOT_RECOGNIZED},
    {VKS_STATUS_UNSUPPORTED, STATUS_PROTECT, CKR_MECHANISM_INVALID},
    {VKS_STATUS_NO_KEY, STATUS_PROTECT, CKR_KEY_HANDLE_INVALID},
    {VKS_STATUS_NO_KEY, STATUS_OBJECT, CKR_OBJECT_HANDLE_INVALID},
    {VKS_STATUS_DENIED, STATUS_PROTECT, CKR_KEY_FUNCTION_NOT_PERMITTED},
    {VKS_STATUS_KEY_STATE, STATUS_PROTECT, CKR_KEY_FUNCTION_NOT_PERMITTED},
    {VKS_STATUS_LIMIT, STATUS_PROTECT, CKR_KEY_EXHAUSTED},
    {VKS_STATUS_LIMIT, STATUS_OBJECT, CKR_DEVICE_MEMORY},
    {VKS_STATUS_AUTH_FAILED, STATUS_VERIFY, CKR_SIGNATURE_INVALID},
    {VKS_STATUS_AUTH_FAILED, STATUS_DECRYPT, CKR_ENCRYPTED_DATA_INVALID},
    {VKS_STATUS_AUTH_FAILED, STATUS_DECRYPT_AEAD, CKR_AEAD_DECRYPT_FAILED},
    {VKS_STATUS_AUTH_FAILED, STATUS_UNWRAP, CKR_WRAPPED_KEY_INVALID},
    {VKS_STATUS_AUTH_FAILED, STATUS_DERIVE, CKR_MECHANISM_PARAM_INVALID},
    {VKS_STATUS_INPUT_SIZE, STATUS_PROTECT, CKR_DATA_LEN_RANGE},
    {VKS_STATUS_INPUT_SIZE, STATUS_DECRYPT, CKR_ENCRYPTED_DATA_LEN_RANGE},
    {VKS_STATUS_INPUT_SIZE, STATUS_UNWRAP, CKR_WRAPPED_KEY_LEN_RANGE},
    {VKS_STATUS_OUTPUT_SIZE, STATUS_PROTECT, CKR_BUFFER_TOO_SMALL},
    {VKS_STATUS_INTERNAL, STATUS_PROTECT, CKR_DEVICE_ERROR},
    {VKS_STATUS_UNAVAILABLE, STATUS_PROTECT, CKR_FUNCTION_FAILED},
    {VKS_STATUS_EXISTS, STATUS_OBJECT, CKR_ATTRIBUTE_VALUE_INVALID},
    {0x7f, STATUS_PROTECT, CKR_DEVICE_ERROR},
    {-ENODEV, STATUS_PROTECT, CKR_DEVICE_REMOVED},
    {-ECONNRESET, STATUS_PROTECT, CKR_DEVICE_REMOVED},
    {-ENOMEM, STATUS_PROTECT, CKR_HOST_MEMORY},
    {-E2BIG, STATUS_PROTECT, CKR_DATA_LEN_RANGE},
    {-EPROTO, STATUS_PROTECT, CKR_DEVICE_ERROR},
    {-EBADF, STATUS_PROTECT, CKR_DEVICE_ERROR},
};

static void test_statuses(void)
{
    for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
        CHECK_EQUAL("status", status_rv(statuses[i].error, statuses[i].use), statuses[i].rv);
    /* Each one of the ABI is in the table above, and is nothing good whatever it was an answer to. */
    for (int status = VKS_STATUS_MALFORMED; status < VKS_STATUS_END; status++) {
        bool is_listed = false;

        for (size_t i = 0; i < sizeof(statuses) / sizeof(statuses[0]); i++)
            is_listed |= statuses[i].error == status;
        CHECK("listed", is_listed);
        for (int use = 0; use < STATUS_USE_COUNT; use++)
            CHECK("not good", status_rv(status, (enum status_use)use) != CKR_OK);
    }
}

static void test_key_types(void)
{
    CHECK("no type", !key_type_find(0) && !key_type_find(VKS_KEY_TYPE_COUNT) && !key_type_find(UINT32_MAX));
    for (uint32_t type = 1; type < VKS_KEY_TYPE_COUNT; type++) {
        const struct key_type *key_type = key_type_find(type);

        CHECK("described", key_type && key_type->bits);
        CHECK("pairs have no value", !key_type->is_pair || !key_type->value_bytes);
        if (key_type->curve_size)
            CHECK_EQUAL("curve", key_type_by_curve(key_type->ckk, key_type->curve, key_type->curve_size), type);
        if (key_type->parameter_set)
            CHECK_EQUAL("set", key_type_by_parameter_set(key_type->ckk, key_type->parameter_set), type);
        if (key_type->value_bytes)
            CHECK_EQUAL("bytes", key_type_by_value_bytes(key_type->ckk, key_type->value_bytes), type);
    }
    CHECK_EQUAL("no curve", key_type_by_curve(CKK_EC, "", 0), 0);
    CHECK_EQUAL("no set", key_type_by_parameter_set(CKK_ML_DSA, 0), 0);
    CHECK_EQUAL("no size", key_type_by_value_bytes(CKK_AES, 24), 0);
}

/* Mechanisms of the device that stand for none of PKCS#11's: derivations that mix two steps. */
#define WITHOUT                                                                                                        \
    (1ULL << VKS_MECHANISM_ECDH_HKDF_SHA256 | 1ULL << VKS_MECHANISM_ECDH_HKDF_SHA384 |                                 \
     1ULL << VKS_MECHANISM_ECDH_HKDF_SHA512)

static void test_mechanisms(void)
{
    uint64_t reached = 0, types = 0;
    const struct mechanism *mechanism;

    for (size_t i = 0; (mechanism = mechanism_at(i)); i++) {
        CHECK("found", mechanism_find(mechanism->type) == mechanism);
        CHECK("types", mechanism->key_type_mask);
        CHECK("operations", mechanism->flags);
        reached |= mechanism->vks_mask;
        types |= mechanism->key_type_mask;
    }
    CHECK_EQUAL("every mechanism of the device", reached | WITHOUT, (1ULL << VKS_MECHANISM_COUNT) - 2);
    CHECK_EQUAL("every key type", types, (1ULL << VKS_KEY_TYPE_COUNT) - 2);
    CHECK("none", !mechanism_find(0x80000001) && !mechanism_find(CKM_SHA256));
}

/* A grant decides, then which half of a pair it is. */
static void test_key_flags(void)
{
    struct object object = {
        .kind = OBJECT_KEY,
        .key = {.type = VKS_KEY_TYPE_EC_P256,
                .op_mask = 1ULL << VKS_OP_SIGN | 1ULL << VKS_OP_VERIFY,
                .mechanism_mask = 1ULL << VKS_MECHANISM_ECDSA_SHA256},
    };

    CHECK_EQUAL("private", mechanism_key_flags(mechanism_find(CKM_ECDSA_SHA256), &object), CKF_SIGN);
    CHECK_EQUAL("another hash", mechanism_key_flags(mechanism_find(CKM_ECDSA_SHA384), &object), 0);
    CHECK_EQUAL("any hash", mechanism_key_flags(mechanism_find(CKM_ECDSA), &object), CKF_SIGN);
    CHECK_EQUAL("another type", mechanism_key_flags(mechanism_find(CKM_EDDSA), &object), 0);
    CHECK_EQUAL("not granted", mechanism_key_flags(mechanism_find(CKM_ECDH1_DERIVE), &object), 0);
    /* A DigestInfo of any hash, or none. */
    object.key.type = VKS_KEY_TYPE_RSA_2048;
    object.key.mechanism_mask = 1ULL << VKS_MECHANISM_RSA_PKCS1_SHA256 | 1ULL << VKS_MECHANISM_RSA_PKCS1_SHA384;
    CHECK_EQUAL("two hashes", mechanism_key_flags(mechanism_find(CKM_RSA_PKCS), &object), 0);
    CHECK_EQUAL("one of two", mechanism_key_flags(mechanism_find(CKM_SHA384_RSA_PKCS), &object), CKF_SIGN);
    object.key.mechanism_mask |= 1ULL << VKS_MECHANISM_RSA_PKCS1_SHA512;
    CHECK_EQUAL("all hashes", mechanism_key_flags(mechanism_find(CKM_RSA_PKCS), &object), CKF_SIGN);
    object.key.type = VKS_KEY_TYPE_EC_P256;
    object.key.mechanism_mask = 1ULL << VKS_MECHANISM_ECDSA_SHA256;
    object.kind = OBJECT_PUBLIC;
    CHECK_EQUAL("public", mechanism_key_flags(mechanism_find(CKM_ECDSA_SHA256), &object), CKF_VERIFY);
    object.key.op_mask = 1ULL << VKS_OP_SIGN;
    CHECK_EQUAL("public", mechanism_key_flags(mechanism_find(CKM_ECDSA_SHA256), &object), 0);
    object.kind = OBJECT_SECRET;
    CHECK_EQUAL("secret", mechanism_key_flags(mechanism_find(CKM_ECDSA_SHA256), &object), 0);
}

static CK_BYTE bytes[64];
static CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
static CK_RSA_PKCS_PSS_PARAMS pss_other_mgf = {CKM_SHA256, CKG_MGF1_SHA1, 32};
static CK_RSA_PKCS_PSS_PARAMS pss_other_salt = {CKM_SHA256, CKG_MGF1_SHA256, 20};
static CK_RSA_PKCS_PSS_PARAMS pss_sha1 = {CKM_SHA_1, CKG_MGF1_SHA1, 20};
static CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, bytes, 3};
static CK_RSA_PKCS_OAEP_PARAMS oaep_nowhere = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 3};
static CK_RSA_PKCS_OAEP_PARAMS oaep_huge = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, bytes, ~0UL};
static CK_GCM_PARAMS gcm = {bytes, 12, 96, bytes, 5, 128};
static CK_GCM_PARAMS gcm_short_tag = {bytes, 12, 96, NULL, 0, 96};
static CK_GCM_PARAMS gcm_long_nonce = {bytes, 16, 128, NULL, 0, 128};
static CK_GCM_PARAMS gcm_no_nonce = {NULL, 12, 96, NULL, 0, 128};
static CK_GCM_PARAMS gcm_huge_aad = {bytes, 12, 96, bytes, ~0UL, 128};
static CK_AES_CTR_PARAMS ctr = {128, {0}};
static CK_AES_CTR_PARAMS ctr_32 = {32, {0}};
static CK_EDDSA_PARAMS eddsa = {CK_FALSE, 0, NULL};
static CK_EDDSA_PARAMS eddsa_ph = {CK_TRUE, 0, NULL};
static CK_SIGN_ADDITIONAL_CONTEXT ml_dsa = {CKH_HEDGE_REQUIRED, NULL, 0};
static CK_SIGN_ADDITIONAL_CONTEXT ml_dsa_deterministic = {2, NULL, 0};

static const struct {
    const char *name;
    CK_MECHANISM given;
    CK_RV rv;
    uint32_t vks;
} parameters[] = {
    {"none", {CKM_ECDSA_SHA256, NULL, 0}, CKR_OK, VKS_MECHANISM_ECDSA_SHA256},
    {"one too many", {CKM_ECDSA_SHA256, bytes, 1}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"data decides", {CKM_ECDSA, NULL, 0}, CKR_OK, 0},
    {"pss", {CKM_RSA_PKCS_PSS, &pss, sizeof(pss)}, CKR_OK, VKS_MECHANISM_RSA_PSS_SHA256},
    {"pss of its hash", {CKM_SHA256_RSA_PKCS_PSS, &pss, sizeof(pss)}, CKR_OK, VKS_MECHANISM_RSA_PSS_SHA256},
    {"pss of another", {CKM_SHA384_RSA_PKCS_PSS, &pss, sizeof(pss)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"pss without", {CKM_RSA_PKCS_PSS, NULL, 0}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"pss cut", {CKM_RSA_PKCS_PSS, &pss, sizeof(pss) - 1}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"pss nowhere", {CKM_RSA_PKCS_PSS, NULL, sizeof(pss)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"pss, other MGF", {CKM_RSA_PKCS_PSS, &pss_other_mgf, sizeof(pss)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"pss, other salt", {CKM_RSA_PKCS_PSS, &pss_other_salt, sizeof(pss)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"pss, SHA-1", {CKM_RSA_PKCS_PSS, &pss_sha1, sizeof(pss)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"oaep", {CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep)}, CKR_OK, VKS_MECHANISM_RSA_OAEP_SHA256},
    {"oaep, label nowhere", {CKM_RSA_PKCS_OAEP, &oaep_nowhere, sizeof(oaep)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"oaep, huge label", {CKM_RSA_PKCS_OAEP, &oaep_huge, sizeof(oaep)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"gcm", {CKM_AES_GCM, &gcm, sizeof(gcm)}, CKR_OK, VKS_MECHANISM_AES_GCM_OWN_NONCE},
    {"gcm, short tag", {CKM_AES_GCM, &gcm_short_tag, sizeof(gcm)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"gcm, long nonce", {CKM_AES_GCM, &gcm_long_nonce, sizeof(gcm)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"gcm, no nonce", {CKM_AES_GCM, &gcm_no_nonce, sizeof(gcm)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"gcm, huge aad", {CKM_AES_GCM, &gcm_huge_aad, sizeof(gcm)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"cbc", {CKM_AES_CBC, bytes, 16}, CKR_OK, VKS_MECHANISM_AES_CBC},
    {"cbc, short", {CKM_AES_CBC, bytes, 15}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"ctr", {CKM_AES_CTR, &ctr, sizeof(ctr)}, CKR_OK, VKS_MECHANISM_AES_CTR},
    {"ctr of 32 bits", {CKM_AES_CTR, &ctr_32, sizeof(ctr)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"xts", {CKM_AES_XTS, bytes, 16}, CKR_OK, VKS_MECHANISM_AES_XTS},
    {"eddsa", {CKM_EDDSA, NULL, 0}, CKR_OK, VKS_MECHANISM_ED25519},
    {"eddsa with", {CKM_EDDSA, &eddsa, sizeof(eddsa)}, CKR_OK, VKS_MECHANISM_ED25519},
    {"eddsa of a hash", {CKM_EDDSA, &eddsa_ph, sizeof(eddsa)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"ml-dsa", {CKM_ML_DSA, &ml_dsa, sizeof(ml_dsa)}, CKR_OK, VKS_MECHANISM_ML_DSA},
    {"ml-dsa, same each time", {CKM_ML_DSA, &ml_dsa_deterministic, sizeof(ml_dsa)}, CKR_MECHANISM_PARAM_INVALID, 0},
    {"not granted", {CKM_AES_CMAC, NULL, 0}, CKR_MECHANISM_INVALID, 0},
};

static void test_parameters(void)
{
    struct object key = {.key.mechanism_mask = ~(1ULL << VKS_MECHANISM_AES_CMAC)};
    struct parameter parameter;

    for (size_t i = 0; i < sizeof(parameters) / sizeof(parameters[0]); i++) {
        const struct mechanism *mechanism = mechanism_find(parameters[i].given.mechanism);

        CHECK_EQUAL(parameters[i].name, parameter_read(mechanism, &parameters[i].given, &key, true, &parameter),
                    parameters[i].rv);
        CHECK_EQUAL(parameters[i].name, parameter.vks, parameters[i].vks);
        parameter_clear(&parameter);
    }
    /* What is opened may have been made by the device's nonce; where only the caller's is granted, by that. */
    CHECK_EQUAL("open", parameter_read(mechanism_find(CKM_AES_GCM), &parameters[15].given, &key, false, &parameter), 0);
    CHECK_EQUAL("open", parameter.vks, VKS_MECHANISM_AES_GCM);
    CHECK_EQUAL("extra", parameter.extra.size, 5);
    parameter_clear(&parameter);
    key.key.mechanism_mask = 1ULL << VKS_MECHANISM_AES_GCM_OWN_NONCE;
    CHECK_EQUAL("open", parameter_read(mechanism_find(CKM_AES_GCM), &parameters[15].given, &key, false, &parameter), 0);
    CHECK_EQUAL("open", parameter.vks, VKS_MECHANISM_AES_GCM_OWN_NONCE);
    parameter_clear(&parameter);
}

int main(void)
{
    test_statuses();
    test_key_types();
    test_mechanisms();
    test_key_flags();
    test_parameters();
    return 0;
}
