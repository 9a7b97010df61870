/* SPDX-License-Identifier: BSD-3-Clause */
/* A session: whoever enters it has it for itself until it leaves. */
#ifndef PKCS11_SESSION_H
#define PKCS11_SESSION_H

#include <pthread.h>

#include "operation.h"

struct find {
    bool is_active;
    CK_OBJECT_HANDLE *handles; /* found when it began */
    size_t count, given;
};

struct session {
    pthread_mutex_t lock; /* of what is below it; fork() does not wait for it */
    struct find find;
    struct operation operations[OPERATION_KIND_COUNT];
    /* Of the table; with the module's lock. */
    CK_SESSION_HANDLE handle;
    struct token *token;
    bool is_rw;
    bool is_closed;
    unsigned long references;
};

/* Each call of a session is between the two. CKR_CRYPTOKI_NOT_INITIALIZED, CKR_SESSION_HANDLE_INVALID. */
CK_RV session_enter(CK_SESSION_HANDLE handle, struct session **session);
/* Gives @rv back. */
CK_RV session_leave(struct session *session, CK_RV rv);

void find_end(struct find *find);

#endif
