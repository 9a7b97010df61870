/* SPDX-License-Identifier: BSD-3-Clause */
/* Signing and MACs (PKCS#11 v3.0, 5.13). Parts are gathered, as many as one request carries: VKS_INPUT_BYTES_MAX. */
#include "session.h"
#include "signature.h"
#include "status.h"

CK_RV C_SignInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, operation_begin(session, OPERATION_SIGN, mechanism, key)) : rv;
}

/* An operation that is active; it is over unless there was no room. */
static CK_RV sign(struct session *session, struct vks_bytes data, CK_BYTE *signature, CK_ULONG *size)
{
    struct operation *operation = &session->operations[OPERATION_SIGN];
    size_t needed = signature_bytes(&operation->key);
    struct vks_request request = {.output = signature, .output_size = needed};
    bool is_query = false;
    CK_RV rv = CKR_ARGUMENTS_BAD;

    if (size && (data.data || !data.size))
        rv = output_check(signature, size, needed, &is_query);
    if (rv == CKR_OK && !is_query)
        rv = signature_request(operation, data, &request);
    if (rv == CKR_OK && !is_query) {
        request.op = signature_is_mac(&operation->key) ? VKS_OP_MAC : VKS_OP_SIGN;
        rv = status_rv(key_submit(session->token, &operation->key, &request), STATUS_PROTECT);
        /* A device that gives another length is out of its mind: no reason to ask again. */
        if (rv == CKR_BUFFER_TOO_SMALL || (rv == CKR_OK && request.output_written != needed))
            rv = CKR_DEVICE_ERROR;
    }
    return operation_result(operation, rv, is_query);
}

CK_RV C_Sign(CK_SESSION_HANDLE handle, CK_BYTE *data, CK_ULONG data_size, CK_BYTE *signature, CK_ULONG *size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = operation_check(&session->operations[OPERATION_SIGN], true);
    if (rv == CKR_OK)
        rv = sign(session, (struct vks_bytes){data, data_size}, signature, size);
    return session_leave(session, rv);
}

CK_RV C_SignUpdate(CK_SESSION_HANDLE handle, CK_BYTE *part, CK_ULONG part_size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    return session_leave(session, operation_add(&session->operations[OPERATION_SIGN], part, part_size));
}

CK_RV C_SignFinal(CK_SESSION_HANDLE handle, CK_BYTE *signature, CK_ULONG *size)
{
    struct session *session;
    const struct operation *operation;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    operation = &session->operations[OPERATION_SIGN];
    rv = operation_check(operation, false);
    if (rv == CKR_OK)
        rv = sign(session, (struct vks_bytes){operation->input.data, operation->input.size}, signature, size);
    return session_leave(session, rv);
}
