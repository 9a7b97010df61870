/* SPDX-License-Identifier: BSD-3-Clause */
/* Opening and closing sessions, and logging in, which only a grant asks for (PKCS#11 v3.0, 5.6). */
#include "session.h"

#include "module.h"
#include "session_table.h"

CK_RV C_OpenSession(CK_SLOT_ID slot, CK_FLAGS flags, void *application, CK_NOTIFY notify, CK_SESSION_HANDLE *handle)
{
    struct token *token;
    CK_RV rv;

    if (!handle)
        return CKR_ARGUMENTS_BAD;
    rv = module_enter();
    if (rv != CKR_OK)
        return rv;
    if (!(flags & CKF_SERIAL_SESSION))
        rv = CKR_SESSION_PARALLEL_NOT_SUPPORTED;
    if (rv == CKR_OK)
        rv = token_find(slot, &token);
    if (rv == CKR_OK)
        rv = token_open(token);
    if (rv == CKR_OK)
        rv = session_table_open(token, flags & CKF_RW_SESSION, handle);
    module_leave();
    return rv;
}

CK_RV C_CloseSession(CK_SESSION_HANDLE handle)
{
    CK_RV rv;

    module_lock();
    rv = module_enter_locked();
    if (rv == CKR_OK) {
        if (!session_table_close(NULL, handle))
            rv = CKR_SESSION_HANDLE_INVALID;
        module_leave_locked();
    }
    module_unlock();
    return rv;
}

CK_RV C_CloseAllSessions(CK_SLOT_ID slot)
{
    struct token *token;
    CK_RV rv = module_enter();

    if (rv != CKR_OK)
        return rv;
    rv = token_find(slot, &token);
    module_lock();
    if (rv == CKR_OK)
        (void)session_table_close(token, CK_INVALID_HANDLE);
    module_leave_locked();
    module_unlock();
    return rv;
}

CK_RV C_GetSessionInfo(CK_SESSION_HANDLE handle, CK_SESSION_INFO *info)
{
    struct session *session;
    CK_RV rv;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    rv = session_enter(handle, &session);
    if (rv != CKR_OK)
        return rv;
    *info = (CK_SESSION_INFO){
        .slotID = session->token->slot,
        .flags = CKF_SERIAL_SESSION | (session->is_rw ? CKF_RW_SESSION : 0),
    };
    module_lock();
    info->state = (session->is_rw ? CKS_RW_PUBLIC_SESSION : CKS_RO_PUBLIC_SESSION) +
                  (session->token->is_logged_in ? CKS_RO_USER_FUNCTIONS - CKS_RO_PUBLIC_SESSION : 0);
    module_unlock();
    return session_leave(session, CKR_OK);
}

/*
 * The right to use a guest's keys is the right to use its device: any PIN will do. A handle of a private key that was
 * found before a logout is good again with the next login, since it means that key as long as there is one.
 */
static CK_RV login(struct session *session, CK_USER_TYPE user, const void *pin, CK_ULONG pin_size)
{
    CK_RV rv = CKR_OK;

    if (pin_size && !pin)
        return CKR_ARGUMENTS_BAD;
    /* No key asks for it anew before each use. */
    if (user == CKU_CONTEXT_SPECIFIC)
        return CKR_OPERATION_NOT_INITIALIZED;
    if (user != CKU_USER)
        return CKR_USER_TYPE_INVALID;
    module_lock();
    /* The last one that is closed ends the login, and nothing would end this one. */
    if (session->is_closed)
        rv = CKR_SESSION_HANDLE_INVALID;
    else if (session->token->is_logged_in)
        rv = CKR_USER_ALREADY_LOGGED_IN;
    else
        session->token->is_logged_in = true;
    module_unlock();
    return rv;
}

CK_RV C_Login(CK_SESSION_HANDLE handle, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG pin_size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, login(session, user, pin, pin_size)) : rv;
}

CK_RV C_LoginUser(CK_SESSION_HANDLE handle, CK_USER_TYPE user, CK_BYTE *pin, CK_ULONG pin_size, CK_BYTE *name,
                  CK_ULONG name_size)
{
    return C_Login(handle, user, pin, pin_size);
}

CK_RV C_Logout(CK_SESSION_HANDLE handle)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    module_lock();
    if (!session->token->is_logged_in)
        rv = CKR_USER_NOT_LOGGED_IN;
    session->token->is_logged_in = false;
    module_unlock();
    return session_leave(session, rv);
}

CK_RV C_SessionCancel(CK_SESSION_HANDLE handle, CK_FLAGS flags)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    for (int kind = 0; kind < OPERATION_KIND_COUNT; kind++)
        if (flags & operation_flag((enum operation_kind)kind))
            operation_end(&session->operations[kind]);
    if (flags & CKF_FIND_OBJECTS)
        find_end(&session->find);
    return session_leave(session, CKR_OK);
}
