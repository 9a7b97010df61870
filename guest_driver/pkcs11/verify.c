/* SPDX-License-Identifier: BSD-3-Clause */
/* Verifying signatures and MACs (PKCS#11 v3.0, 5.15). */
#include "session.h"
#include "signature.h"
#include "status.h"

CK_RV C_VerifyInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, operation_begin(session, OPERATION_VERIFY, mechanism, key)) : rv;
}

/* An operation that is active, and is over then. */
static CK_RV verify(struct session *session, struct vks_bytes data, struct vks_bytes signature)
{
    struct operation *operation = &session->operations[OPERATION_VERIFY];
    struct vks_request request = {.parameter = signature};
    CK_RV rv = CKR_OK;

    if ((!data.data && data.size) || !signature.data)
        rv = CKR_ARGUMENTS_BAD;
    else if (signature.size != signature_bytes(&operation->key))
        rv = CKR_SIGNATURE_LEN_RANGE;
    if (rv == CKR_OK)
        rv = signature_request(operation, data, &request);
    if (rv == CKR_OK) {
        request.op = signature_is_mac(&operation->key) ? VKS_OP_MAC_VERIFY : VKS_OP_VERIFY;
        rv = status_rv(key_submit(session->token, &operation->key, &request), STATUS_VERIFY);
    }
    operation_end(operation);
    return rv;
}

CK_RV C_Verify(CK_SESSION_HANDLE handle, CK_BYTE *data, CK_ULONG data_size, CK_BYTE *signature, CK_ULONG size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = operation_check(&session->operations[OPERATION_VERIFY], true);
    if (rv == CKR_OK)
        rv = verify(session, (struct vks_bytes){data, data_size}, (struct vks_bytes){signature, size});
    return session_leave(session, rv);
}

CK_RV C_VerifyUpdate(CK_SESSION_HANDLE handle, CK_BYTE *part, CK_ULONG part_size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    return session_leave(session, operation_add(&session->operations[OPERATION_VERIFY], part, part_size));
}

CK_RV C_VerifyFinal(CK_SESSION_HANDLE handle, CK_BYTE *signature, CK_ULONG size)
{
    struct session *session;
    const struct operation *operation;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    operation = &session->operations[OPERATION_VERIFY];
    rv = operation_check(operation, false);
    if (rv == CKR_OK)
        rv = verify(session, (struct vks_bytes){operation->input.data, operation->input.size},
                    (struct vks_bytes){signature, size});
    return session_leave(session, rv);
}
