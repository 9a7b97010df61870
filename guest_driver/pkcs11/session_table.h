/* SPDX-License-Identifier: BSD-3-Clause */
/* All sessions of the process. A handle is a place in the table and how often something was put into the table. */
#ifndef PKCS11_SESSION_TABLE_H
#define PKCS11_SESSION_TABLE_H

#include "session.h"

#define SESSIONS_MAX 65536

/* CKR_SESSION_COUNT, CKR_HOST_MEMORY. */
CK_RV session_table_open(struct token *token, bool is_rw, CK_SESSION_HANDLE *handle);
/* Of @token, or of that one handle where it is NULL; with the module's lock. False: there was none. */
bool session_table_close(const struct token *token, CK_SESSION_HANDLE handle);
/* All of them, and the table; with the module's lock. */
void session_table_clear(void);

#endif
