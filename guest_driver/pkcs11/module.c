/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Beginning and end of the library in a process (PKCS#11 v3.0, 5.4).
 *
 * A child of fork() finds the library not initialised (5.4, C_Initialize; 6.7.1). What it inherited is given up when it
 * initialises or finalises; what another thread of its parent was using at that moment is left as it was.
 */
#include <pthread.h>
#include <stdbool.h>
#include <string.h>

#include "module.h"
#include "session_table.h"
#include "text.h"
#include "token.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t nobody_inside = PTHREAD_COND_INITIALIZER;
static pthread_once_t watch_forks_once = PTHREAD_ONCE_INIT;

static enum {
    MODULE_NONE,
    MODULE_READY,
    MODULE_ENDING, /* C_Finalize waits for the calls inside */
    MODULE_FORKED, /* as NONE, with the parent's things still lying about */
} state;
static unsigned long inside; /* calls */

void module_lock(void)
{
    pthread_mutex_lock(&lock);
}

void module_unlock(void)
{
    pthread_mutex_unlock(&lock);
}

static void after_fork_in_child(void)
{
    /* The calls inside were other threads'; they are not here. */
    inside = 0;
    pthread_cond_init(&nobody_inside, NULL);
    if (state != MODULE_NONE)
        state = MODULE_FORKED;
    pthread_mutex_unlock(&lock);
}

static void watch_forks(void)
{
    /* Under the lock nothing is half done: a child may give it back to the heap. */
    (void)pthread_atfork(module_lock, module_unlock, after_fork_in_child);
}

CK_RV module_enter_locked(void)
{
    if (state != MODULE_READY)
        return CKR_CRYPTOKI_NOT_INITIALIZED;
    inside++;
    return CKR_OK;
}

void module_leave_locked(void)
{
    if (--inside == 0 && state == MODULE_ENDING)
        pthread_cond_signal(&nobody_inside);
}

CK_RV module_enter(void)
{
    CK_RV rv;

    module_lock();
    rv = module_enter_locked();
    module_unlock();
    return rv;
}

void module_leave(void)
{
    module_lock();
    module_leave_locked();
    module_unlock();
}

/* The parent's things go, if there are any. Wants the lock. */
static void give_up_inheritance(void)
{
    if (state != MODULE_FORKED)
        return;
    session_table_clear();
    tokens_clear();
    state = MODULE_NONE;
}

/* Locks are the system's own (6.7): a caller that insists on its own cannot be served. */
static CK_RV check_arguments(const CK_C_INITIALIZE_ARGS *arguments)
{
    int given;

    if (!arguments)
        return CKR_OK;
    given = !!arguments->CreateMutex + !!arguments->DestroyMutex + !!arguments->LockMutex + !!arguments->UnlockMutex;
    if (arguments->pReserved || (given != 0 && given != 4))
        return CKR_ARGUMENTS_BAD;
    return given && !(arguments->flags & CKF_OS_LOCKING_OK) ? CKR_CANT_LOCK : CKR_OK;
}

CK_RV C_Initialize(void *arguments)
{
    CK_RV rv = check_arguments(arguments);

    if (rv != CKR_OK)
        return rv;
    pthread_once(&watch_forks_once, watch_forks);
    module_lock();
    give_up_inheritance();
    if (state == MODULE_NONE)
        state = MODULE_READY;
    else
        rv = CKR_CRYPTOKI_ALREADY_INITIALIZED;
    module_unlock();
    return rv;
}

CK_RV C_Finalize(void *reserved)
{
    CK_RV rv = CKR_OK;

    if (reserved)
        return CKR_ARGUMENTS_BAD;
    module_lock();
    give_up_inheritance();
    if (state != MODULE_READY) {
        rv = CKR_CRYPTOKI_NOT_INITIALIZED;
    } else {
        state = MODULE_ENDING;
        while (inside)
            pthread_cond_wait(&nobody_inside, &lock);
        session_table_clear();
        tokens_clear();
        state = MODULE_NONE;
    }
    module_unlock();
    return rv;
}

CK_RV C_GetInfo(CK_INFO *info)
{
    CK_RV rv;

    if (!info)
        return CKR_ARGUMENTS_BAD;
    rv = module_enter();
    if (rv != CKR_OK)
        return rv;
    memset(info, 0, sizeof(*info));
    info->cryptokiVersion = (CK_VERSION){3, 0};
    text_pad(info->manufacturerID, sizeof(info->manufacturerID), "vmm_keystore");
    text_pad(info->libraryDescription, sizeof(info->libraryDescription), "keys of the host's vault");
    info->libraryVersion = (CK_VERSION){0, 1};
    module_leave();
    return CKR_OK;
}
