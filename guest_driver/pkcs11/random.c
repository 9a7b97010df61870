/* SPDX-License-Identifier: BSD-3-Clause */
/* Random bytes of the host's generator (PKCS#11 v3.0, 5.19), which takes no seed from a guest. */
#include "session.h"
#include "status.h"

CK_RV C_SeedRandom(CK_SESSION_HANDLE handle, CK_BYTE *seed, CK_ULONG size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    return rv == CKR_OK ? session_leave(session, CKR_RANDOM_SEED_NOT_SUPPORTED) : rv;
}

CK_RV C_GenerateRandom(CK_SESSION_HANDLE handle, CK_BYTE *output, CK_ULONG size)
{
    struct session *session;
    CK_RV rv = session_enter(handle, &session);

    if (rv != CKR_OK)
        return rv;
    rv = size && !output ? CKR_ARGUMENTS_BAD
                         : status_rv(vks_random(session->token->device, output, size), STATUS_PROTECT);
    return session_leave(session, rv);
}
