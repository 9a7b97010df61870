/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * New keys (PKCS#11 v3.0, 5.18.1, 5.18.2): with CKA_TOKEN keys of the guest's own in the vault, where the host lets it
 * have some; without, session secrets of random bytes. Pairs are in the vault, or not at all.
 */
#define _GNU_SOURCE /* explicit_bzero */
#include <stdio.h>
#include <string.h>

#include "key_type.h"
#include "session.h"
#include "status.h"
#include "template.h"

/* Of a key that nobody gave a label: labels are how the vault's own tools name keys. */
static CK_RV make_label(struct token *token, char label[VKS_LABEL_BYTES])
{
    uint8_t drawn[8];
    CK_RV rv = status_rv(vks_random(token->device, drawn, sizeof(drawn)), STATUS_PROTECT);
    int at = snprintf(label, VKS_LABEL_BYTES, "key-");

    for (size_t i = 0; i < sizeof(drawn); i++)
        at += snprintf(label + at, VKS_LABEL_BYTES - (size_t)at, "%02x", drawn[i]);
    return rv;
}

/* In the vault; its object is there when this returns. */
static CK_RV generate_own(struct session *session, uint32_t type, struct template *template, struct object *object)
{
    struct token *token = session->token;
    uint8_t id[VKS_KEY_ID_BYTES];
    CK_RV rv = CKR_OK;
    int error;

    if (!session->is_rw)
        return CKR_SESSION_READ_ONLY;
    if (!template->label[0])
        rv = make_label(token, template->label);
    if (rv != CKR_OK)
        return rv;
    if (!vks_label_is_valid(template->label))
        return CKR_ATTRIBUTE_VALUE_INVALID;
    error = vks_generate(token->device, type, template->label, id);
    if (error == VKS_STATUS_DENIED)
        return CKR_TOKEN_WRITE_PROTECTED;
    if (error)
        return status_rv(error, STATUS_OBJECT);
    token_changed(token);
    return token_object_by_id(token, id, object);
}

static CK_RV generate_secret(struct session *session, const struct template *template, CK_OBJECT_HANDLE *handle)
{
    uint8_t drawn[VKS_SECRET_BYTES_MAX];
    CK_RV rv = secret_check(template, template->value_bytes);

    if (rv == CKR_OK && template->value_bytes > sizeof(drawn))
        rv = CKR_KEY_SIZE_RANGE;
    if (rv != CKR_OK)
        return rv;
    rv = status_rv(vks_random(session->token->device, drawn, template->value_bytes), STATUS_PROTECT);
    if (rv == CKR_OK)
        rv = secret_make(session, template, (struct vks_bytes){drawn, template->value_bytes}, handle);
    explicit_bzero(drawn, sizeof(drawn));
    return rv;
}

/* What a mechanism makes where nothing else is said; CKA_VALUE_LEN of those that come in one size may be left out. */
static CK_RV complete(const struct mechanism *mechanism, struct template *template)
{
    CK_KEY_TYPE made = mechanism->type == CKM_AES_KEY_GEN        ? CKK_AES
                       : mechanism->type == CKM_CHACHA20_KEY_GEN ? CKK_CHACHA20
                                                                 : CKK_GENERIC_SECRET;

    if (!template->has_key_type)
        template->key_type = made;
    template->has_key_type = true;
    if (made != CKK_GENERIC_SECRET && template->key_type != made)
        return CKR_TEMPLATE_INCONSISTENT;
    if (!template->value_bytes) {
        if (template->key_type == CKK_CHACHA20 || template->key_type == CKK_SHA256_HMAC)
            template->value_bytes = 32;
        if (template->key_type == CKK_SHA384_HMAC)
            template->value_bytes = 48;
        if (template->key_type == CKK_SHA512_HMAC)
            template->value_bytes = 64;
    }
    return template->value_bytes ? CKR_OK : CKR_TEMPLATE_INCOMPLETE;
}

static CK_RV generate_key(struct session *session, const CK_MECHANISM *given, const CK_ATTRIBUTE *attributes,
                          CK_ULONG count, CK_OBJECT_HANDLE *handle)
{
    const struct mechanism *mechanism;
    struct template template = {0};
    struct object object;
    uint32_t type;
    CK_RV rv;

    if (!given || !handle)
        return CKR_ARGUMENTS_BAD;
    mechanism = mechanism_find(given->mechanism);
    if (!mechanism || !(mechanism->flags & CKF_GENERATE))
        return CKR_MECHANISM_INVALID;
    if (given->ulParameterLen)
        return CKR_MECHANISM_PARAM_INVALID;
    rv = template_read(attributes, count, &template);
    if (rv == CKR_OK && template.value.size)
        rv = CKR_TEMPLATE_INCONSISTENT;
    if (rv == CKR_OK)
        rv = complete(mechanism, &template);
    if (rv != CKR_OK)
        return rv;
    if (!template.is_token)
        return generate_secret(session, &template, handle);
    rv = template_check_vault(&template, CKO_SECRET_KEY);
    type = key_type_by_value_bytes(template.key_type, template.value_bytes);
    if (rv == CKR_OK && (!type || !(mechanism->key_type_mask & KEY_TYPE_BIT(type))))
        rv = CKR_KEY_SIZE_RANGE;
    if (rv == CKR_OK)
        rv = generate_own(session, type, &template, &object);
    if (rv == CKR_OK)
        *handle = object.handle;
    return rv;
}

CK_RV C_GenerateKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_ATTRIBUTE *attributes, CK_ULONG count,
                    CK_OBJECT_HANDLE *key)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, generate_key(session, mechanism, attributes, count, key)) : rv;
}

static CK_RV pair_type(const struct mechanism *mechanism, const struct template *template, uint32_t *type)
{
    CK_KEY_TYPE made = mechanism->type == CKM_EC_KEY_PAIR_GEN           ? CKK_EC
                       : mechanism->type == CKM_EC_EDWARDS_KEY_PAIR_GEN ? CKK_EC_EDWARDS
                                                                        : CKK_ML_DSA;
    /* RFC 8410's curve as a name, which v3.0 has beside its object identifier (2.3.10). */
    static const uint8_t ed25519_name[] = "\x13\x0c"
                                          "edwards25519";
    bool is_named = template->curve.size == sizeof(ed25519_name) - 1 &&
                    memcmp(template->curve.data, ed25519_name, sizeof(ed25519_name) - 1) == 0;

    if (template->has_key_type && template->key_type != made)
        return CKR_TEMPLATE_INCONSISTENT;
    if (made == CKK_ML_DSA) {
        *type = key_type_by_parameter_set(made, template->parameter_set);
        return *type ? CKR_OK : template->parameter_set ? CKR_ATTRIBUTE_VALUE_INVALID : CKR_TEMPLATE_INCOMPLETE;
    }
    if (!template->curve.size)
        return CKR_TEMPLATE_INCOMPLETE;
    *type = made == CKK_EC_EDWARDS && is_named ? (uint32_t)VKS_KEY_TYPE_ED25519
                                               : key_type_by_curve(made, template->curve.data, template->curve.size);
    return *type ? CKR_OK : CKR_CURVE_NOT_SUPPORTED;
}

/* In front of the templates: what they have depends on it. */
static CK_RV pair_mechanism(const CK_MECHANISM *given, const struct mechanism **mechanism)
{
    *mechanism = mechanism_find(given->mechanism);
    if (!*mechanism || !((*mechanism)->flags & CKF_GENERATE_KEY_PAIR))
        return CKR_MECHANISM_INVALID;
    return given->ulParameterLen ? CKR_MECHANISM_PARAM_INVALID : CKR_OK;
}

/* Both halves say what the key is to be; what one has is not asked of the other. */
static CK_RV read_halves(const CK_ATTRIBUTE *public_attributes, CK_ULONG public_count,
                         const CK_ATTRIBUTE *private_attributes, CK_ULONG private_count, struct template *template)
{
    CK_RV rv = template_read(public_attributes, public_count, template);

    if (rv != CKR_OK)
        return rv;
    if (template->has_class && template->class != CKO_PUBLIC_KEY)
        return CKR_TEMPLATE_INCONSISTENT;
    template->has_class = false;
    rv = template_read(private_attributes, private_count, template);
    if (rv != CKR_OK)
        return rv;
    return template->is_token ? template_check_vault(template, CKO_PRIVATE_KEY) : CKR_TEMPLATE_INCONSISTENT;
}

static CK_RV generate_pair(struct session *session, const struct mechanism *mechanism, struct template *template,
                           CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    struct object object;
    uint32_t type;
    CK_RV rv = pair_type(mechanism, template, &type);

    if (rv == CKR_OK)
        rv = generate_own(session, type, template, &object);
    if (rv != CKR_OK)
        return rv;
    *private_key = object.handle;
    *public_key = OBJECT_HANDLE(OBJECT_NUMBER(object.handle), OBJECT_PUBLIC);
    return CKR_OK;
}

CK_RV C_GenerateKeyPair(CK_SESSION_HANDLE handle, CK_MECHANISM *given, CK_ATTRIBUTE *public_attributes,
                        CK_ULONG public_count, CK_ATTRIBUTE *private_attributes, CK_ULONG private_count,
                        CK_OBJECT_HANDLE *public_key, CK_OBJECT_HANDLE *private_key)
{
    const struct mechanism *mechanism;
    struct template template = {0};
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    if (!given || !public_key || !private_key)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = pair_mechanism(given, &mechanism);
    if (rv == CKR_OK)
        rv = read_halves(public_attributes, public_count, private_attributes, private_count, &template);
    if (rv == CKR_OK)
        rv = generate_pair(session, mechanism, &template, public_key, private_key);
    return session_leave(session, rv);
}
