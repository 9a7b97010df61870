/* SPDX-License-Identifier: BSD-3-Clause */
/* Encryption (PKCS#11 v3.0, 5.8). Parts are gathered; what comes of them is given by the last call. */
#include "cipher.h"
#include "session.h"

CK_RV C_EncryptInit(CK_SESSION_HANDLE handle, CK_MECHANISM *mechanism, CK_OBJECT_HANDLE key)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, operation_begin(session, OPERATION_ENCRYPT, mechanism, key)) : rv;
}

/* An operation that is active; it is over unless there was no room. */
static CK_RV encrypt(struct session *session, struct vks_bytes text, CK_BYTE *output, CK_ULONG *size)
{
    struct operation *operation = &session->operations[OPERATION_ENCRYPT];
    bool is_query = false;
    size_t sealed;
    CK_RV rv = CKR_ARGUMENTS_BAD;

    if (size && (text.data || !text.size))
        rv = cipher_sealed_bytes(operation, text.size, &sealed);
    if (rv == CKR_OK)
        rv = output_check(output, size, sealed, &is_query);
    if (rv == CKR_OK && !is_query)
        rv = cipher_seal(session->token, operation, text, output, &sealed);
    return operation_result(operation, rv, is_query);
}

CK_RV C_Encrypt(CK_SESSION_HANDLE handle, CK_BYTE *data, CK_ULONG data_size, CK_BYTE *output, CK_ULONG *size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = operation_check(&session->operations[OPERATION_ENCRYPT], true);
    if (rv == CKR_OK)
        rv = encrypt(session, (struct vks_bytes){data, data_size}, output, size);
    return session_leave(session, rv);
}

CK_RV C_EncryptUpdate(CK_SESSION_HANDLE handle, CK_BYTE *part, CK_ULONG part_size, CK_BYTE *output, CK_ULONG *size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = operation_update(&session->operations[OPERATION_ENCRYPT], part, part_size, output, size);
    return session_leave(session, rv);
}

CK_RV C_EncryptFinal(CK_SESSION_HANDLE handle, CK_BYTE *output, CK_ULONG *size)
{
    const struct operation *operation;
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    operation = &session->operations[OPERATION_ENCRYPT];
    rv = operation_check(operation, false);
    if (rv == CKR_OK)
        rv = encrypt(session, (struct vks_bytes){operation->input.data, operation->input.size}, output, size);
    return session_leave(session, rv);
}
