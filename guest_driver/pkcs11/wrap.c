/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Wrapping and unwrapping (PKCS#11 v3.0, 5.18.3, 5.18.4): session secrets under keys of the vault. What is in the vault
 * is never wrapped for a guest.
 */
#define _GNU_SOURCE /* explicit_bzero */
#include <string.h>

#include "cipher.h"
#include "module.h"
#include "session.h"
#include "template.h"

/* An operation of one call, with the key and the parameter; for operation_end(). */
static CK_RV begin(struct session *session, const CK_MECHANISM *given, CK_FLAGS flag, CK_OBJECT_HANDLE key,
                   struct operation *operation)
{
    CK_RV rv;

    if (!given)
        return CKR_ARGUMENTS_BAD;
    operation->mechanism = mechanism_find(given->mechanism);
    if (!operation->mechanism)
        return CKR_MECHANISM_INVALID;
    rv = operation_key(session->token, operation->mechanism, flag, key, &operation->key);
    if (rv != CKR_OK)
        return rv;
    return parameter_read(operation->mechanism, given, &operation->key, flag == CKF_WRAP, &operation->parameter);
}

/* A session secret that may go, into @value. */
static CK_RV take_secret(struct token *token, CK_OBJECT_HANDLE handle, uint8_t *value, size_t *size)
{
    struct object object;
    bool is_there;
    CK_RV rv = token_object(token, handle, TOKEN_ANY_AGE, &object);

    if (rv != CKR_OK)
        return rv == CKR_OBJECT_HANDLE_INVALID ? CKR_KEY_HANDLE_INVALID : rv;
    if (object.kind == OBJECT_PUBLIC)
        return CKR_KEY_NOT_WRAPPABLE;
    if (object.kind != OBJECT_SECRET || !object.is_extractable)
        return CKR_KEY_UNEXTRACTABLE;
    module_lock();
    is_there = secret_list_value(&token->secrets, handle, value);
    module_unlock();
    *size = object.secret_size;
    return is_there ? CKR_OK : CKR_KEY_HANDLE_INVALID;
}

/* The standard has names of their own for what is wrong with a wrapping key. */
static CK_RV name_key(CK_RV rv, CK_RV handle_invalid, CK_RV type_inconsistent)
{
    if (rv == CKR_KEY_HANDLE_INVALID)
        return handle_invalid;
    return rv == CKR_KEY_TYPE_INCONSISTENT ? type_inconsistent : rv;
}

static CK_RV wrap(struct session *session, const CK_MECHANISM *given, CK_OBJECT_HANDLE wrapping_key,
                  CK_OBJECT_HANDLE key, CK_BYTE *output, CK_ULONG *size)
{
    struct operation operation = {0};
    uint8_t value[VKS_SECRET_BYTES_MAX];
    size_t value_size, sealed;
    bool is_query = false;
    CK_RV rv;

    if (!size)
        return CKR_ARGUMENTS_BAD;
    rv = name_key(begin(session, given, CKF_WRAP, wrapping_key, &operation), CKR_WRAPPING_KEY_HANDLE_INVALID,
                  CKR_WRAPPING_KEY_TYPE_INCONSISTENT);
    if (rv == CKR_OK)
        rv = take_secret(session->token, key, value, &value_size);
    if (rv == CKR_OK)
        rv = cipher_sealed_bytes(&operation, value_size, &sealed);
    if (rv == CKR_OK)
        rv = output_check(output, size, sealed, &is_query);
    if (rv == CKR_OK && !is_query)
        rv = name_key(cipher_seal(session->token, &operation, (struct vks_bytes){value, value_size}, output, &sealed),
                      CKR_WRAPPING_KEY_HANDLE_INVALID, CKR_WRAPPING_KEY_TYPE_INCONSISTENT);
    /* The data, here, is a key. */
    if (rv == CKR_DATA_LEN_RANGE)
        rv = CKR_KEY_SIZE_RANGE;
    explicit_bzero(value, sizeof(value));
    operation_end(&operation);
    return rv;
}

CK_RV C_WrapKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE wrapping_key, CK_OBJECT_HANDLE key,
                CK_BYTE *output, CK_ULONG *size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, wrap(session, mechanism, wrapping_key, key, output, size)) : rv;
}

static CK_RV unwrap(struct session *session, const CK_MECHANISM *given, CK_OBJECT_HANDLE unwrapping_key,
                    struct vks_bytes wrapped, const struct template *template, CK_OBJECT_HANDLE *handle)
{
    struct operation operation = {0};
    uint8_t value[VKS_SECRET_BYTES_MAX];
    size_t opened, size = 0;
    CK_RV rv = begin(session, given, CKF_UNWRAP, unwrapping_key, &operation);

    if (rv == CKR_OK)
        rv = secret_check(template, 0);
    if (rv == CKR_OK) {
        rv = cipher_opened_bytes(&operation, wrapped.size, &opened);
        if (rv != CKR_OK || opened > sizeof(value))
            rv = CKR_WRAPPED_KEY_LEN_RANGE;
    }
    if (rv == CKR_OK)
        rv = cipher_open(session->token, &operation, wrapped, STATUS_UNWRAP, value, &size);
    if (rv == CKR_OK && template->value_bytes && template->value_bytes != size)
        rv = CKR_WRAPPED_KEY_LEN_RANGE;
    if (rv == CKR_OK)
        rv = secret_make(session, template, (struct vks_bytes){value, size}, handle);
    explicit_bzero(value, sizeof(value));
    operation_end(&operation);
    return name_key(rv, CKR_UNWRAPPING_KEY_HANDLE_INVALID, CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT);
}

CK_RV C_UnwrapKey(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE unwrapping_key, CK_BYTE *wrapped,
                  CK_ULONG wrapped_size, CK_ATTRIBUTE *attributes, CK_ULONG count, CK_OBJECT_HANDLE *key)
{
    struct template template = {0};
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    if (!key || !wrapped)
        rv = CKR_ARGUMENTS_BAD;
    if (rv == CKR_OK)
        rv = template_read(attributes, count, &template);
    if (rv == CKR_OK && template.value.size)
        rv = CKR_TEMPLATE_INCONSISTENT;
    if (rv == CKR_OK)
        rv = unwrap(session, mechanism, unwrapping_key, (struct vks_bytes){wrapped, wrapped_size}, &template, key);
    return session_leave(session, rv);
}
