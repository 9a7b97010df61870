/* SPDX-License-Identifier: BSD-3-Clause */
#include "attribute.h"

#include <stdio.h>
#include <string.h>

#include "key_type.h"
#include "mechanism.h"
#include "module.h"

void attribute_set(struct attribute_value *value, const void *data, size_t size)
{
    value->size = size < sizeof(value->data) ? size : sizeof(value->data);
    if (value->size)
        memcpy(value->data, data, value->size);
}

CK_RV attribute_set_bool(struct attribute_value *value, bool is_true)
{
    CK_BBOOL truth = is_true ? CK_TRUE : CK_FALSE;

    attribute_set(value, &truth, sizeof(truth));
    return CKR_OK;
}

CK_RV attribute_set_number(struct attribute_value *value, CK_ULONG number)
{
    attribute_set(value, &number, sizeof(number));
    return CKR_OK;
}

/* Of a grant, by one of its mechanisms; and whether the key's state lets it (SP 800-57). */
static bool does(const struct object *object, CK_FLAGS flag)
{
    bool protects = flag & (CKF_SIGN | CKF_ENCRYPT | CKF_WRAP);
    uint32_t state = object->key.state;
    const struct mechanism *mechanism;

    if (state == VKS_KEY_STATE_PRE_ACTIVATION || state == VKS_KEY_STATE_SUSPENDED ||
        (protects && state != VKS_KEY_STATE_ACTIVE))
        return false;
    for (size_t i = 0; (mechanism = mechanism_at(i)); i++)
        if (mechanism_key_flags(mechanism, object) & flag)
            return true;
    return false;
}

static CK_RV set_mechanisms(const struct object *object, struct attribute_value *value)
{
    CK_MECHANISM_TYPE allowed[MECHANISMS_MAX];
    const struct mechanism *mechanism;
    size_t count = 0;

    for (size_t i = 0; (mechanism = mechanism_at(i)); i++)
        if (mechanism_key_flags(mechanism, object))
            allowed[count++] = mechanism->type;
    attribute_set(value, allowed, count * sizeof(allowed[0]));
    return CKR_OK;
}

/* Of a key that the guest did not have made nobody here knows whether it was imported, and who had it before. */
static bool is_made_here(const struct object *object)
{
    return object->kind != OBJECT_SECRET && vks_key_is_own(&object->key);
}

static CK_MECHANISM_TYPE mechanism_that_makes(const struct object *object)
{
    const struct mechanism *mechanism;

    for (size_t i = 0; (mechanism = mechanism_at(i)); i++)
        if (mechanism->form == FORM_GENERATE && mechanism->key_type_mask & KEY_TYPE_BIT(object->key.type))
            return mechanism->type;
    return CK_UNAVAILABLE_INFORMATION;
}

/* The key's id, or a secret's number, and the class. */
static CK_RV set_unique_id(const struct object *object, struct attribute_value *value)
{
    char text[2 * VKS_KEY_ID_BYTES + 32];
    size_t at = 0;

    if (object->kind == OBJECT_SECRET)
        at = (size_t)snprintf(text, sizeof(text), "session-%lu", OBJECT_NUMBER(object->handle));
    for (int i = 0; object->kind != OBJECT_SECRET && i < VKS_KEY_ID_BYTES; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%02x", object->key.id[i]);
    if (object->kind == OBJECT_PUBLIC)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "-public");
    attribute_set(value, text, at);
    return CKR_OK;
}

/* Of every object. */
static CK_RV get_storage(const struct object *object, CK_ATTRIBUTE_TYPE type, struct attribute_value *value)
{
    bool is_secret = object->kind == OBJECT_SECRET;

    switch (type) {
    case CKA_CLASS:
        return attribute_set_number(value, object_class(object));
    case CKA_TOKEN:
        return attribute_set_bool(value, !is_secret);
    case CKA_PRIVATE:
        return attribute_set_bool(value, object_is_private(object));
    case CKA_MODIFIABLE:
    case CKA_COPYABLE:
        return attribute_set_bool(value, false);
    case CKA_DESTROYABLE:
        return attribute_set_bool(value, is_secret || (object->kind == OBJECT_KEY && vks_key_is_own(&object->key)));
    case CKA_LABEL:
        attribute_set(value, object->key.label, strlen(object->key.label));
        return CKR_OK;
    case CKA_UNIQUE_ID:
        return set_unique_id(object, value);
    case CKA_KEY_TYPE:
        return attribute_set_number(value, object_key_type(object));
    case CKA_ID:
        attribute_set(value, is_secret ? object->secret_id : object->key.id,
                      is_secret ? object->secret_id_size : sizeof(object->key.id));
        return CKR_OK;
    case CKA_START_DATE:
    case CKA_END_DATE:
        value->size = 0;
        return CKR_OK;
    case CKA_DERIVE:
        return attribute_set_bool(value, does(object, CKF_DERIVE));
    case CKA_LOCAL:
        return attribute_set_bool(value, is_made_here(object));
    case CKA_KEY_GEN_MECHANISM:
        return attribute_set_number(value,
                                    is_made_here(object) ? mechanism_that_makes(object) : CK_UNAVAILABLE_INFORMATION);
    case CKA_ALLOWED_MECHANISMS:
        return set_mechanisms(object, value);
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

/* What is the same for every key of a type. */
static CK_RV get_type_property(const struct object *object, CK_ATTRIBUTE_TYPE type, struct attribute_value *value)
{
    const struct key_type *key_type = key_type_find(object->key.type);

    if (!key_type)
        return CKR_ATTRIBUTE_TYPE_INVALID;
    if (type == CKA_EC_PARAMS && key_type->curve_size) {
        attribute_set(value, key_type->curve, key_type->curve_size);
        return CKR_OK;
    }
    if (type == CKA_PARAMETER_SET && key_type->parameter_set)
        return attribute_set_number(value, key_type->parameter_set);
    if (type == CKA_MODULUS_BITS && key_type->ckk == CKK_RSA)
        return attribute_set_number(value, key_type->bits);
    if (type == CKA_VALUE_LEN && key_type->value_bytes)
        return attribute_set_number(value, key_type->value_bytes);
    return CKR_ATTRIBUTE_TYPE_INVALID;
}

static CK_RV get_public(const struct object *object, CK_ATTRIBUTE_TYPE type, struct attribute_value *value)
{
    switch (type) {
    case CKA_ENCRYPT:
        return attribute_set_bool(value, does(object, CKF_ENCRYPT));
    case CKA_VERIFY:
        return attribute_set_bool(value, does(object, CKF_VERIFY));
    case CKA_WRAP:
        return attribute_set_bool(value, does(object, CKF_WRAP));
    case CKA_VERIFY_RECOVER:
    case CKA_TRUSTED:
    case CKA_ENCAPSULATE:
        return attribute_set_bool(value, false);
    case CKA_SUBJECT:
        value->size = 0;
        return CKR_OK;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

static CK_RV get_private(const struct object *object, CK_ATTRIBUTE_TYPE type, struct attribute_value *value)
{
    switch (type) {
    case CKA_DECRYPT:
        return attribute_set_bool(value, does(object, CKF_DECRYPT));
    case CKA_SIGN:
        return attribute_set_bool(value, does(object, CKF_SIGN));
    case CKA_UNWRAP:
        return attribute_set_bool(value, does(object, CKF_UNWRAP));
    case CKA_DECAPSULATE:
        return attribute_set_bool(value, does(object, CKF_DECAPSULATE));
    case CKA_SENSITIVE:
        return attribute_set_bool(value, true);
    case CKA_ALWAYS_SENSITIVE:
    case CKA_NEVER_EXTRACTABLE:
        return attribute_set_bool(value, is_made_here(object));
    case CKA_EXTRACTABLE:
    case CKA_SIGN_RECOVER:
    case CKA_ALWAYS_AUTHENTICATE:
    case CKA_WRAP_WITH_TRUSTED:
        return attribute_set_bool(value, false);
    case CKA_SUBJECT:
        value->size = 0;
        return CKR_OK;
    case CKA_VALUE:
        return object_key_type(object) == CKK_RSA ? CKR_ATTRIBUTE_TYPE_INVALID : CKR_ATTRIBUTE_SENSITIVE;
    case CKA_PRIVATE_EXPONENT:
    case CKA_PRIME_1:
    case CKA_PRIME_2:
    case CKA_EXPONENT_1:
    case CKA_EXPONENT_2:
    case CKA_COEFFICIENT:
        return object_key_type(object) == CKK_RSA ? CKR_ATTRIBUTE_SENSITIVE : CKR_ATTRIBUTE_TYPE_INVALID;
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

static CK_RV get_secret_value(struct token *token, const struct object *object, struct attribute_value *value)
{
    bool is_there;

    if (object->is_sensitive || !object->is_extractable || object->kind != OBJECT_SECRET)
        return CKR_ATTRIBUTE_SENSITIVE;
    module_lock();
    is_there = secret_list_value(&token->secrets, object->handle, value->data);
    module_unlock();
    value->size = is_there ? object->secret_size : 0;
    return is_there ? CKR_OK : CKR_OBJECT_HANDLE_INVALID;
}

static CK_RV get_secret(struct token *token, const struct object *object, CK_ATTRIBUTE_TYPE type,
                        struct attribute_value *value)
{
    bool is_session = object->kind == OBJECT_SECRET;

    switch (type) {
    case CKA_ENCRYPT:
        return attribute_set_bool(value, does(object, CKF_ENCRYPT));
    case CKA_DECRYPT:
        return attribute_set_bool(value, does(object, CKF_DECRYPT));
    case CKA_SIGN:
        return attribute_set_bool(value, does(object, CKF_SIGN));
    case CKA_VERIFY:
        return attribute_set_bool(value, does(object, CKF_VERIFY));
    case CKA_WRAP:
        return attribute_set_bool(value, does(object, CKF_WRAP));
    case CKA_UNWRAP:
        return attribute_set_bool(value, does(object, CKF_UNWRAP));
    case CKA_SENSITIVE:
        return attribute_set_bool(value, is_session ? object->is_sensitive : true);
    case CKA_EXTRACTABLE:
        return attribute_set_bool(value, is_session ? object->is_extractable : false);
    case CKA_ALWAYS_SENSITIVE:
    case CKA_NEVER_EXTRACTABLE:
        return attribute_set_bool(value, is_made_here(object));
    case CKA_WRAP_WITH_TRUSTED:
    case CKA_TRUSTED:
        return attribute_set_bool(value, false);
    case CKA_VALUE_LEN:
        return is_session ? attribute_set_number(value, object->secret_size) : CKR_ATTRIBUTE_TYPE_INVALID;
    case CKA_VALUE:
        return get_secret_value(token, object, value);
    default:
        return CKR_ATTRIBUTE_TYPE_INVALID;
    }
}

CK_RV attribute_get(struct token *token, const struct object *object, CK_ATTRIBUTE_TYPE type,
                    struct attribute_value *value)
{
    CK_OBJECT_CLASS class = object_class(object);
    CK_RV rv;

    if (attribute_is_of_public_key(object, type))
        return attribute_of_public_key(token, object, type, value);
    rv = get_storage(object, type, value);
    if (rv == CKR_ATTRIBUTE_TYPE_INVALID)
        rv = get_type_property(object, type, value);
    if (rv != CKR_ATTRIBUTE_TYPE_INVALID)
        return rv;
    if (class == CKO_PUBLIC_KEY)
        return get_public(object, type, value);
    return class == CKO_PRIVATE_KEY ? get_private(object, type, value) : get_secret(token, object, type, value);
}
