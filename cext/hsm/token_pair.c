/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes of key pairs. Knows how a token writes public keys; must not know who uses them. */
#include "token_pair.h"

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/obj_mac.h>
#include <openssl/param_build.h>
#include <openssl/x509.h>
#include <string.h>

#include "key_kind.h"
#include "token_object.h"
#include "vmm_keystore.h"

enum {
    MODULUS_BYTES_MAX = 512,
    EXPONENT_BYTES_MAX = 8,
    POINT_BYTES_MAX = 2 + 1 + 2 * 48, /* an OCTET STRING around an uncompressed point */
};

/* DER of the curves' names (RFC 5480, 2.1.1.1). */
static CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07};
static CK_BYTE p384[] = {0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x22};
static CK_BYTE exponent[] = {0x01, 0x00, 0x01};
static CK_BBOOL yes = CK_TRUE, no = CK_FALSE;
static CK_OBJECT_CLASS private_class = CKO_PRIVATE_KEY, public_class = CKO_PUBLIC_KEY;

static const struct curve {
    uint32_t type;
    CK_BYTE *der;
    CK_ULONG der_bytes;
} curves[] = {{VKS_KEY_TYPE_EC_P256, p256, sizeof(p256)}, {VKS_KEY_TYPE_EC_P384, p384, sizeof(p384)}};

static const struct curve *find_curve(uint32_t type)
{
    for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
        if (curves[i].type == type)
            return &curves[i];
    return NULL;
}

enum vks_hsm_error vks_token_pair_make(struct vks_token *token, const struct vks_hsm_object *object, const char *label)
{
    const struct vks_key_kind *kind = vks_key_kind_find(object->type);
    const struct curve *curve = find_curve(object->type);
    CK_MECHANISM mechanism = {curve ? CKM_EC_KEY_PAIR_GEN : CKM_RSA_PKCS_KEY_PAIR_GEN, NULL, 0};
    CK_ULONG bits = kind ? kind->size_bytes * 8 : 0;
    CK_VOID_PTR id = (CK_VOID_PTR)(uintptr_t)object->bytes, name = (CK_VOID_PTR)(uintptr_t)label;
    CK_OBJECT_HANDLE public_half, private_half;
    CK_ATTRIBUTE of_public[] = {
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_VERIFY, &yes, sizeof(yes)},
        {CKA_ID, id, object->size_bytes},
        {CKA_LABEL, name, strlen(label)},
        {curve ? CKA_EC_PARAMS : CKA_MODULUS_BITS, curve ? (CK_VOID_PTR)curve->der : &bits,
         curve ? curve->der_bytes : sizeof(bits)},
        {CKA_PUBLIC_EXPONENT, exponent, sizeof(exponent)}, /* the last: not for a curve */
    };
    CK_ATTRIBUTE of_private[] = {
        {CKA_TOKEN, &yes, sizeof(yes)},     {CKA_PRIVATE, &yes, sizeof(yes)},
        {CKA_SENSITIVE, &yes, sizeof(yes)}, {CKA_EXTRACTABLE, &no, sizeof(no)},
        {CKA_SIGN, &yes, sizeof(yes)},      {CKA_DECRYPT, curve ? &no : &yes, sizeof(yes)},
        {CKA_ID, id, object->size_bytes},   {CKA_LABEL, name, strlen(label)},
    };

    if (kind == NULL || !vks_key_kind_fits_token(kind) || object->size_bytes > sizeof(object->bytes))
        return VKS_HSM_KEY_TYPE;
    return vks_module_result(
        token->module, token->module->functions->C_GenerateKeyPair(
                           token->session, &mechanism, of_public, sizeof(of_public) / sizeof(of_public[0]) - !!curve,
                           of_private, sizeof(of_private) / sizeof(of_private[0]), &public_half, &private_half));
}

static enum vks_hsm_error only_one(enum vks_hsm_error error, size_t count)
{
    if (error)
        return error;
    return count == 1 ? VKS_HSM_OK : count == 0 ? VKS_HSM_PAIR_GONE : VKS_HSM_PAIR_SEVERAL;
}

static enum vks_hsm_error find_half(struct vks_token *token, CK_OBJECT_CLASS *which,
                                    const struct vks_hsm_object *object, CK_OBJECT_HANDLE *handle)
{
    CK_ATTRIBUTE sought[] = {
        {CKA_CLASS, which, sizeof(*which)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {CKA_ID, (CK_VOID_PTR)(uintptr_t)object->bytes, object->size_bytes},
    };
    size_t count;
    enum vks_hsm_error error = vks_token_object_find(token, sought, sizeof(sought) / sizeof(sought[0]), handle, &count);

    return only_one(error, count);
}

enum vks_hsm_error vks_token_pair_private(struct vks_token *token, const struct vks_hsm_object *object,
                                          CK_OBJECT_HANDLE *handle)
{
    return find_half(token, &private_class, object, handle);
}

/* An attribute of at most so many bytes; its size, or 0. */
static CK_ULONG read_bytes(struct vks_token *token, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, void *value,
                           CK_ULONG value_bytes_max)
{
    CK_ATTRIBUTE attribute = {type, value, value_bytes_max};

    if (token->module->functions->C_GetAttributeValue(token->session, object, &attribute, 1) != CKR_OK ||
        attribute.ulValueLen > value_bytes_max)
        return 0;
    return attribute.ulValueLen;
}

/* 0: none of ours. */
static uint32_t type_of(struct vks_token *token, CK_OBJECT_HANDLE handle)
{
    uint8_t value[MODULUS_BYTES_MAX];
    CK_KEY_TYPE key_type = CK_UNAVAILABLE_INFORMATION;
    CK_ULONG value_bytes;

    if (!vks_token_object_read(token, handle, CKA_KEY_TYPE, &key_type, sizeof(key_type)))
        return 0;
    if (key_type == CKK_EC) {
        value_bytes = read_bytes(token, handle, CKA_EC_PARAMS, value, sizeof(value));
        for (size_t i = 0; i < sizeof(curves) / sizeof(curves[0]); i++)
            if (curves[i].der_bytes == value_bytes && memcmp(curves[i].der, value, value_bytes) == 0)
                return curves[i].type;
        return 0;
    }
    if (key_type != CKK_RSA)
        return 0;
    value_bytes = read_bytes(token, handle, CKA_MODULUS, value, sizeof(value));
    for (uint32_t type = VKS_KEY_TYPE_RSA_2048; type <= VKS_KEY_TYPE_RSA_4096; type++)
        if (vks_key_kind_find(type)->size_bytes == value_bytes)
            return type;
    return 0;
}

enum vks_hsm_error vks_token_pair_find(struct vks_token *token, const char *label, struct vks_hsm_object *object)
{
    bool by_id = object->size_bytes > 0;
    CK_ATTRIBUTE sought[] = {
        {CKA_CLASS, &private_class, sizeof(private_class)},
        {CKA_TOKEN, &yes, sizeof(yes)},
        {by_id ? CKA_ID : CKA_LABEL, by_id ? (CK_VOID_PTR)object->bytes : (CK_VOID_PTR)(uintptr_t)label,
         by_id ? object->size_bytes : strlen(label)},
    };
    CK_OBJECT_HANDLE handle;
    size_t count;
    enum vks_hsm_error error =
        vks_token_object_find(token, sought, sizeof(sought) / sizeof(sought[0]), &handle, &count);

    error = only_one(error, count);
    if (error)
        return error;
    object->size_bytes = (uint32_t)read_bytes(token, handle, CKA_ID, object->bytes, sizeof(object->bytes));
    object->type = type_of(token, handle);
    if (object->size_bytes == 0)
        return VKS_HSM_PAIR_ID;
    if (object->type == 0)
        return VKS_HSM_KEY_TYPE;
    if (!vks_token_object_is(token, handle, CKA_SENSITIVE, CK_TRUE) ||
        !vks_token_object_is(token, handle, CKA_EXTRACTABLE, CK_FALSE) ||
        (!vks_token_object_is(token, handle, CKA_SIGN, CK_TRUE) &&
         !vks_token_object_is(token, handle, CKA_DECRYPT, CK_TRUE)))
        return VKS_HSM_PAIR_LEAVES;
    if (vks_token_object_is(token, handle, CKA_ALWAYS_AUTHENTICATE, CK_TRUE))
        return VKS_HSM_PAIR_ASKS;
    /* What it is called by must be its own. */
    return vks_token_pair_private(token, object, &handle);
}

/* Most modules put the point into an OCTET STRING, as they should; some do not. */
static EVP_PKEY *ec_key(struct vks_token *token, CK_OBJECT_HANDLE handle, const struct vks_key_kind *kind)
{
    uint8_t value[POINT_BYTES_MAX];
    CK_ULONG point_bytes = vks_key_kind_point_bytes(kind);
    CK_ULONG value_bytes = read_bytes(token, handle, CKA_EC_POINT, value, sizeof(value));
    const uint8_t *point = value;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "EC", NULL);
    EVP_PKEY *pkey = NULL;

    if (value_bytes == point_bytes + 2 && value[0] == V_ASN1_OCTET_STRING && value[1] == point_bytes)
        point += 2;
    else if (value_bytes != point_bytes)
        context = (EVP_PKEY_CTX_free(context), NULL);
    if (context && EVP_PKEY_fromdata_init(context) == 1) {
        OSSL_PARAM parameters[] = {
            OSSL_PARAM_construct_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, (char *)(uintptr_t)kind->group, 0),
            OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, (void *)(uintptr_t)point, point_bytes),
            OSSL_PARAM_construct_end(),
        };

        (void)EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, parameters);
    }
    EVP_PKEY_CTX_free(context);
    return pkey;
}

static EVP_PKEY *rsa_key(struct vks_token *token, CK_OBJECT_HANDLE handle)
{
    uint8_t modulus[MODULUS_BYTES_MAX], public_exponent[EXPONENT_BYTES_MAX];
    CK_ULONG modulus_bytes = read_bytes(token, handle, CKA_MODULUS, modulus, sizeof(modulus));
    CK_ULONG exponent_bytes = read_bytes(token, handle, CKA_PUBLIC_EXPONENT, public_exponent, sizeof(public_exponent));
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, "RSA", NULL);
    OSSL_PARAM_BLD *builder = OSSL_PARAM_BLD_new();
    BIGNUM *n = BN_bin2bn(modulus, (int)modulus_bytes, NULL);
    BIGNUM *e = BN_bin2bn(public_exponent, (int)exponent_bytes, NULL);
    OSSL_PARAM *parameters = NULL;
    EVP_PKEY *pkey = NULL;

    if (builder && n && e && OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
        OSSL_PARAM_BLD_push_BN(builder, OSSL_PKEY_PARAM_RSA_E, e) == 1)
        parameters = OSSL_PARAM_BLD_to_param(builder);
    if (context && parameters && EVP_PKEY_fromdata_init(context) == 1)
        (void)EVP_PKEY_fromdata(context, &pkey, EVP_PKEY_PUBLIC_KEY, parameters);
    OSSL_PARAM_free(parameters);
    OSSL_PARAM_BLD_free(builder);
    BN_free(n);
    BN_free(e);
    EVP_PKEY_CTX_free(context);
    return pkey;
}

enum vks_hsm_error vks_token_pair_public(struct vks_token *token, const struct vks_hsm_object *object,
                                         uint8_t der[VKS_HSM_PUBLIC_BYTES_MAX], uint32_t *public_bytes)
{
    const struct vks_key_kind *kind = vks_key_kind_find(object->type);
    CK_OBJECT_HANDLE handle;
    enum vks_hsm_error error = find_half(token, &public_class, object, &handle);
    EVP_PKEY *pkey;
    int size = 0;

    if (error == VKS_HSM_PAIR_GONE)
        return VKS_HSM_PAIR_PUBLIC;
    if (error)
        return error;
    pkey = kind->family == VKS_KEY_FAMILY_EC ? ec_key(token, handle, kind) : rsa_key(token, handle);
    if (pkey)
        size = i2d_PUBKEY(pkey, NULL);
    if (size > 0 && size <= VKS_HSM_PUBLIC_BYTES_MAX)
        size = i2d_PUBKEY(pkey, &der);
    EVP_PKEY_free(pkey);
    *public_bytes = (uint32_t)size;
    return size > 0 && size <= VKS_HSM_PUBLIC_BYTES_MAX ? VKS_HSM_OK : VKS_HSM_PAIR_PUBLIC;
}
