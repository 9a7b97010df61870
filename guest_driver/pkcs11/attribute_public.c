/* SPDX-License-Identifier: BSD-3-Clause */
/* Attributes that are read out of the public key which the device gives. */
#include "attribute.h"
#include "der.h"

static bool is_curve(CK_KEY_TYPE ckk)
{
    return ckk == CKK_EC || ckk == CKK_EC_EDWARDS || ckk == CKK_EC_MONTGOMERY;
}

bool attribute_is_of_public_key(const struct object *object, CK_ATTRIBUTE_TYPE type)
{
    CK_OBJECT_CLASS class = object_class(object);
    CK_KEY_TYPE ckk = object_key_type(object);

    if (class == CKO_SECRET_KEY)
        return false;
    switch (type) {
    case CKA_PUBLIC_KEY_INFO:
        return true;
    case CKA_MODULUS:
    case CKA_PUBLIC_EXPONENT:
        return ckk == CKK_RSA;
    case CKA_EC_POINT:
        /* Of private keys, too: OpenSSL's provider looks there when it has no other object. */
        return is_curve(ckk);
    case CKA_VALUE:
        return class == CKO_PUBLIC_KEY && (ckk == CKK_ML_DSA || ckk == CKK_ML_KEM);
    default:
        return false;
    }
}

/* @der is the device's, and is looked at as if it were anybody's. */
static CK_RV take(struct vks_bytes der, CK_ATTRIBUTE_TYPE type, struct attribute_value *value)
{
    struct der_public_key public_key;
    struct der_rsa_key rsa;

    if (!der_public_key_read(der, &public_key))
        return CKR_DEVICE_ERROR;
    switch (type) {
    case CKA_MODULUS:
    case CKA_PUBLIC_EXPONENT:
        if (!der_rsa_key_read(public_key.key, &rsa))
            return CKR_DEVICE_ERROR;
        attribute_set(value, type == CKA_MODULUS ? rsa.modulus.data : rsa.exponent.data,
                      type == CKA_MODULUS ? rsa.modulus.size : rsa.exponent.size);
        return CKR_OK;
    case CKA_EC_POINT:
        value->size = der_put_octet_string(public_key.key, value->data, sizeof(value->data));
        return value->size ? CKR_OK : CKR_DEVICE_ERROR;
    case CKA_VALUE:
        attribute_set(value, public_key.key.data, public_key.key.size);
        return CKR_OK;
    default:
        attribute_set(value, der.data, der.size);
        return CKR_OK;
    }
}

CK_RV attribute_of_public_key(struct token *token, const struct object *object, CK_ATTRIBUTE_TYPE type,
                              struct attribute_value *value)
{
    uint8_t der[ATTRIBUTE_BYTES_MAX];
    size_t size = sizeof(der);
    CK_RV rv = token_public_key(token, object, der, &size);

    /* Of a key that may not be used yet, or by this user, the host gives no public key either. */
    if (rv == CKR_KEY_FUNCTION_NOT_PERMITTED)
        return CKR_ATTRIBUTE_SENSITIVE;
    if (rv != CKR_OK)
        return rv;
    return take((struct vks_bytes){der, size}, type, value);
}
