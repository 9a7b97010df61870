/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Whether the library is initialised in this process, and the lock of everything that calls share: session table,
 * tokens, tables of keys, session secrets. It is held for moments, never over a request to a device, so that fork() can
 * wait for it. Beneath it only the C library's own locks are taken.
 */
#ifndef PKCS11_MODULE_H
#define PKCS11_MODULE_H

#include "cryptoki.h"

void module_lock(void);
void module_unlock(void);

/* Around each call that is none of a session: C_Finalize waits for those inside. With the lock held. */
CK_RV module_enter_locked(void);
void module_leave_locked(void);
/* Without it. */
CK_RV module_enter(void);
void module_leave(void);

#endif
