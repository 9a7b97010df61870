/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* explicit_bzero */
#include "operation.h"

#include <errno.h>
#include <string.h>

#include "session.h"

CK_FLAGS operation_flag(enum operation_kind kind)
{
    static const CK_FLAGS flags[OPERATION_KIND_COUNT] = {
        [OPERATION_SIGN] = CKF_SIGN,
        [OPERATION_VERIFY] = CKF_VERIFY,
        [OPERATION_ENCRYPT] = CKF_ENCRYPT,
        [OPERATION_DECRYPT] = CKF_DECRYPT,
        [OPERATION_MESSAGE_ENCRYPT] = CKF_MESSAGE_ENCRYPT,
        [OPERATION_MESSAGE_DECRYPT] = CKF_MESSAGE_DECRYPT,
    };

    return flags[kind];
}

/* Why a key does not do something by a mechanism. */
static CK_RV why_not(const struct mechanism *mechanism, const struct object *key, CK_FLAGS flag)
{
    CK_FLAGS flags = mechanism_key_flags(mechanism, key);

    if (!(mechanism->flags & flag))
        return CKR_MECHANISM_INVALID;
    if (flags & flag)
        return CKR_OK;
    if (key->kind == OBJECT_SECRET || !(mechanism->key_type_mask >> key->key.type & 1))
        return CKR_KEY_TYPE_INCONSISTENT;
    return mechanism_is_among(mechanism, key->key.mechanism_mask) ? CKR_KEY_FUNCTION_NOT_PERMITTED
                                                                  : CKR_MECHANISM_INVALID;
}

/* The same of who asks. */
static CK_RV why_not_now(struct token *token, const struct mechanism *mechanism, const struct object *key,
                         CK_FLAGS flag)
{
    return token_shows(token, key) ? why_not(mechanism, key, flag) : CKR_USER_NOT_LOGGED_IN;
}

/* What is no longer true of a grant must not refuse: then the device is asked once more. */
CK_RV operation_key(struct token *token, const struct mechanism *mechanism, CK_FLAGS flag, CK_OBJECT_HANDLE handle,
                    struct object *key)
{
    CK_RV rv = token_object(token, handle, TOKEN_ANY_AGE, key);

    if (rv == CKR_OK && why_not_now(token, mechanism, key, flag) == CKR_OK)
        return CKR_OK;
    rv = token_object(token, handle, TOKEN_FRESH_MS, key);
    if (rv == CKR_OBJECT_HANDLE_INVALID)
        return CKR_KEY_HANDLE_INVALID;
    return rv == CKR_OK ? why_not_now(token, mechanism, key, flag) : rv;
}

CK_RV operation_begin(struct session *session, enum operation_kind kind, const CK_MECHANISM *given,
                      CK_OBJECT_HANDLE key)
{
    struct operation *operation = &session->operations[kind];
    const struct mechanism *mechanism;
    bool protects = kind != OPERATION_DECRYPT;
    CK_RV rv;

    if (!given) {
        operation_end(operation);
        return CKR_OK;
    }
    if (operation->is_active)
        return CKR_OPERATION_ACTIVE;
    mechanism = mechanism_find(given->mechanism);
    if (!mechanism)
        return CKR_MECHANISM_INVALID;
    rv = operation_key(session->token, mechanism, operation_flag(kind), key, &operation->key);
    /* Each message brings its own parameter. */
    if (rv == CKR_OK && kind < OPERATION_MESSAGE_ENCRYPT)
        rv = parameter_read(mechanism, given, &operation->key, protects, &operation->parameter);
    if (rv != CKR_OK) {
        operation_end(operation);
        return rv;
    }
    operation->mechanism = mechanism;
    operation->is_active = true;
    return CKR_OK;
}

CK_RV operation_check(const struct operation *operation, bool is_single)
{
    if (!operation->is_active)
        return CKR_OPERATION_NOT_INITIALIZED;
    return is_single && operation->is_multipart ? CKR_OPERATION_ACTIVE : CKR_OK;
}

CK_RV operation_add(struct operation *operation, const void *data, CK_ULONG size)
{
    CK_RV rv = operation_check(operation, false);

    if (rv != CKR_OK)
        return rv;
    rv = size && !data ? CKR_ARGUMENTS_BAD : buffer_append(&operation->input, data, size, VKS_INPUT_BYTES_MAX);
    if (rv != CKR_OK)
        operation_end(operation);
    else
        operation->is_multipart = true;
    return rv;
}

CK_RV operation_update(struct operation *operation, const void *data, CK_ULONG size, const void *output,
                       CK_ULONG *output_size)
{
    CK_RV rv = operation_check(operation, false);

    if (rv != CKR_OK)
        return rv;
    if (!output_size) {
        operation_end(operation);
        return CKR_ARGUMENTS_BAD;
    }
    *output_size = 0;
    return output ? operation_add(operation, data, size) : CKR_OK;
}

void operation_end(struct operation *operation)
{
    parameter_clear(&operation->parameter);
    buffer_clear(&operation->input);
    buffer_clear(&operation->aad);
    explicit_bzero(operation, sizeof(*operation));
}

CK_RV operation_result(struct operation *operation, CK_RV rv, bool is_query)
{
    if (rv != CKR_BUFFER_TOO_SMALL && !(rv == CKR_OK && is_query))
        operation_end(operation);
    return rv;
}

/* Whether an older version may have made what this request is about. */
static bool may_be_older(const struct vks_request *request)
{
    return request->op == VKS_OP_VERIFY || request->op == VKS_OP_DECRYPT || request->op == VKS_OP_MAC_VERIFY;
}

/* Whether a version's answer is that this is not of its making, or that it is not to be used: no reason to despair. */
static bool is_no(int error)
{
    return error == VKS_STATUS_AUTH_FAILED || error == VKS_STATUS_NO_KEY || error == VKS_STATUS_DENIED ||
           error == VKS_STATUS_KEY_STATE;
}

/* What a request's current version did not make may be of one before; which there are now, whatever was listed last. */
static int submit_for_older(struct token *token, const struct object *key, struct vks_request *request, bool is_stale)
{
    int error = VKS_STATUS_AUTH_FAILED;
    struct object now;
    CK_RV rv = token_object(token, key->handle, is_stale ? TOKEN_FRESH_MS : TOKEN_ANY_AGE, &now);

    if (rv != CKR_OK)
        return rv == CKR_OBJECT_HANDLE_INVALID ? error : rv == CKR_DEVICE_REMOVED ? -ENODEV : -EIO;
    for (size_t i = 0; is_no(error) && i < now.older_count; i++) {
        request->use.key_version = now.older[i];
        error = vks_submit(token->device, request);
    }
    request->use.key_version = 0;
    /* Which of them it was that said no, and why, is nothing the caller asked about. */
    return is_no(error) ? VKS_STATUS_AUTH_FAILED : error;
}

int key_submit(struct token *token, const struct object *key, struct vks_request *request)
{
    bool is_stale;
    int error;

    memcpy(request->use.key_id, key->key.id, sizeof(request->use.key_id));
    error = vks_submit(token->device, request);
    /* The answer names the version that was used, also when it does not verify. */
    is_stale = request->key_version && request->key_version != key->key.version;
    if (is_stale || error == VKS_STATUS_NO_KEY || error == VKS_STATUS_DENIED || error == VKS_STATUS_KEY_STATE)
        token_changed(token);
    if (error == VKS_STATUS_AUTH_FAILED && may_be_older(request))
        return submit_for_older(token, key, request, is_stale);
    return error;
}

CK_RV output_check(const void *output, CK_ULONG *size, size_t needed, bool *is_query)
{
    CK_ULONG room = *size;

    *size = needed;
    *is_query = !output;
    return !output || room >= needed ? CKR_OK : CKR_BUFFER_TOO_SMALL;
}
