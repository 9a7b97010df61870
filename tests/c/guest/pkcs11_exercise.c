/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Many at once by the PKCS#11 module: signatures, sessions, threads, keys.
 *   pkcs11_exercise MODULE COMMAND [COUNT]      prints what it saw; 0 unless something broke
 * The guest has the keys "tls" (EC P-256), "sig" (Ed25519), "tag" (HMAC) and "box" (AES).
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "pkcs11_client.h"

#define THREADS 64

static CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0}, eddsa = {CKM_EDDSA, NULL, 0};
static CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0};
static unsigned int rounds;

/* More than a counter of 16 bits holds, in one session. */
static void signatures(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE key = client_key(session, "tag");
    CK_BYTE tag[32];

    for (unsigned int i = 0; i < count; i++) {
        CK_ULONG size = sizeof(tag);

        OK(p11->C_SignInit(session, &hmac, key));
        OK(p11->C_Sign(session, (CK_BYTE *)&i, sizeof(i), tag, &size));
    }
    client_count("signatures", count);
}

/* All open at once, each with an operation of its own. */
static void sessions(unsigned int count)
{
    CK_SESSION_HANDLE *opened = calloc(count, sizeof(*opened));
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token;
    CK_BYTE tag[32];

    if (!opened)
        client_die("memory");
    for (unsigned int i = 0; i < count; i++) {
        opened[i] = client_session(i % 2 ? CKF_RW_SESSION : 0);
        OK(p11->C_SignInit(opened[i], &hmac, client_key(opened[i], "tag")));
        OK(p11->C_SignUpdate(opened[i], (CK_BYTE *)&i, sizeof(i)));
    }
    OK(p11->C_GetSessionInfo(opened[0], &info));
    OK(p11->C_GetTokenInfo(info.slotID, &token));
    if (token.ulSessionCount != count || token.ulRwSessionCount != count / 2)
        client_die("not as many as were opened");
    for (unsigned int i = 0; i < count; i++) {
        CK_ULONG size = sizeof(tag);

        OK(p11->C_SignFinal(opened[i], tag, &size));
        if (i % 3 == 0)
            OK(p11->C_CloseSession(opened[i]));
    }
    EXPECT(p11->C_CloseSession(opened[0]), CKR_SESSION_HANDLE_INVALID);
    OK(p11->C_CloseAllSessions(info.slotID));
    for (unsigned int i = 0; i < count; i++)
        EXPECT(p11->C_GetSessionInfo(opened[i], &info), CKR_SESSION_HANDLE_INVALID);
    free(opened);
    client_count("sessions", count);
}

static void *thread_work(void *argument)
{
    unsigned int number = (unsigned int)(size_t)argument;

    for (unsigned int i = 0; i < rounds; i++) {
        CK_SESSION_HANDLE session = client_session(0);

        if ((number + i) % 2)
            client_round_trip(session, &ecdsa, client_key(session, "tls"), client_public(session, "tls"),
                              number * 1000 + i);
        else
            client_round_trip(session, &eddsa, client_key(session, "sig"), client_public(session, "sig"),
                              number * 1000 + i);
        OK(p11->C_CloseSession(session));
    }
    return NULL;
}

static void threads(unsigned int count)
{
    pthread_t all[THREADS];

    rounds = count;

    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&all[i], NULL, thread_work, (void *)i))
            client_die("no thread");
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(all[i], NULL);
    client_count("rounds", THREADS * count);
}

static CK_SESSION_HANDLE shared;

static void *shared_work(void *argument)
{
    CK_OBJECT_HANDLE key = (CK_OBJECT_HANDLE)(size_t)argument;

    for (unsigned int i = 0; i < rounds; i++) {
        CK_BYTE tag[32];
        CK_ULONG size = sizeof(tag);
        CK_RV rv = p11->C_SignInit(shared, &hmac, key);

        /* Another thread's operation, or the session is closed: a right answer, each. */
        if (rv != CKR_OK && rv != CKR_OPERATION_ACTIVE && rv != CKR_SESSION_HANDLE_INVALID)
            client_expect("C_SignInit", rv, CKR_OK);
        rv = p11->C_Sign(shared, tag, 1, tag, &size);
        if (rv != CKR_OK && rv != CKR_OPERATION_NOT_INITIALIZED && rv != CKR_SESSION_HANDLE_INVALID)
            client_expect("C_Sign", rv, CKR_OK);
    }
    return NULL;
}

/* All threads in one session, which is closed under them. */
static void one_session(unsigned int count)
{
    pthread_t all[THREADS];
    CK_SESSION_HANDLE kept = client_session(0);
    CK_OBJECT_HANDLE key = client_key(kept, "tag");

    rounds = count;
    shared = client_session(0);
    for (size_t i = 0; i < THREADS; i++)
        if (pthread_create(&all[i], NULL, shared_work, (void *)(size_t)key))
            client_die("no thread");
    usleep(1000);
    OK(p11->C_CloseSession(shared));
    for (size_t i = 0; i < THREADS; i++)
        pthread_join(all[i], NULL);
    client_round_trip(kept, &hmac, key, key, 1);
    client_say("closed under them");
}

/* Each of the keys "k-0" to "k-(COUNT - 1)" by its label and by its id; and all of them. */
static void find(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE *all = calloc(2 * count + 1024, sizeof(*all));
    CK_ULONG found = 0, piece;

    if (!all)
        client_die("memory");
    for (unsigned int i = 0; i < count; i++) {
        char label[16];
        CK_BYTE id[16];
        CK_ATTRIBUTE by_id = {CKA_ID, id, sizeof(id)};
        CK_OBJECT_HANDLE key, again;

        snprintf(label, sizeof(label), "k-%u", i);
        key = client_key(session, label);
        OK(p11->C_GetAttributeValue(session, key, &by_id, 1));
        OK(p11->C_FindObjectsInit(session, &by_id, 1));
        OK(p11->C_FindObjects(session, &again, 1, &piece));
        OK(p11->C_FindObjectsFinal(session));
        if (piece != 1 || again != key)
            client_die(label);
    }
    OK(p11->C_FindObjectsInit(session, NULL, 0));
    do {
        OK(p11->C_FindObjects(session, all + found, 100, &piece));
        found += piece;
    } while (piece && found <= 2 * count);
    OK(p11->C_FindObjectsFinal(session));
    free(all);
    client_count("found", (unsigned int)found);
}

/* Until it is killed. */
static void until_killed(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);

    for (unsigned int i = 0;; i++) {
        client_round_trip(session, &ecdsa, client_key(session, "tls"), client_public(session, "tls"), i);
        if (i % 20 == 0)
            client_say("more");
    }
}

int main(int argc, char **argv)
{
    static const struct client_command commands[] = {
        {"signatures", signatures},
        {"sessions", sessions},
        {"threads", threads},
        {"one-session", one_session},
        {"find", find},
        {"until-killed", until_killed},
        {NULL, NULL},
    };

    return client_main(argc, argv, commands);
}
