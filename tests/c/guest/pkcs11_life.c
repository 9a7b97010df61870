/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Beginning, end and change by the PKCS#11 module: C_Finalize, fork(), keys that are rotated, taken and given.
 *   pkcs11_life MODULE COMMAND [COUNT]      prints what it saw; 0 unless something broke
 * The guest has the keys "tls" (EC P-256), "tag" (HMAC) and "box" (AES).
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "pkcs11_client.h"

static CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0}, hmac = {CKM_SHA256_HMAC, NULL, 0};
static CK_SESSION_HANDLE shared;

static void *until_finalized(void *argument)
{
    CK_OBJECT_HANDLE key = (CK_OBJECT_HANDLE)(size_t)argument;
    CK_RV rv;

    do {
        CK_BYTE tag[32] = {0};
        CK_ULONG size = sizeof(tag);

        rv = p11->C_SignInit(shared, &hmac, key);
        if (rv == CKR_OK)
            rv = p11->C_Sign(shared, tag, 1, tag, &size);
    } while (rv == CKR_OK || rv == CKR_OPERATION_ACTIVE || rv == CKR_OPERATION_NOT_INITIALIZED);
    EXPECT(rv, CKR_CRYPTOKI_NOT_INITIALIZED);
    return NULL;
}

/* C_Finalize while threads are inside: each is let out before anything goes. */
static void finalize(unsigned int count)
{
    for (unsigned int round = 0; round < count; round++) {
        pthread_t all[8];
        CK_OBJECT_HANDLE key;

        shared = client_session(0);
        key = client_key(shared, "tag");
        for (size_t i = 0; i < 8; i++)
            if (pthread_create(&all[i], NULL, until_finalized, (void *)(size_t)key))
                client_die("no thread");
        usleep(1000);
        OK(p11->C_Finalize(NULL));
        for (size_t i = 0; i < 8; i++)
            pthread_join(all[i], NULL);
        EXPECT(p11->C_Finalize(NULL), CKR_CRYPTOKI_NOT_INITIALIZED);
        OK(p11->C_Initialize(NULL));
        EXPECT(p11->C_Initialize(NULL), CKR_CRYPTOKI_ALREADY_INITIALIZED);
        EXPECT(p11->C_SignInit(shared, &hmac, key), CKR_SESSION_HANDLE_INVALID);
    }
    client_say("as new");
}

static void *busy(void *argument)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE key = client_key(session, "tls");

    for (unsigned int i = 0; !atomic_load((atomic_int *)argument); i++)
        client_round_trip(session, &ecdsa, key, client_public(session, "tls"), i);
    return NULL;
}

/* A child has no library until it initialises one, and no share in its parent's. */
static void in_child(CK_SESSION_HANDLE session)
{
    CK_SLOT_ID slots[4];
    CK_SLOT_INFO info;
    CK_ULONG slot_count = 4;
    CK_BYTE byte;
    CK_INFO library;

    EXPECT(p11->C_GenerateRandom(session, &byte, 1), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT(p11->C_GetInfo(&library), CKR_CRYPTOKI_NOT_INITIALIZED);
    OK(p11->C_Initialize(NULL));
    EXPECT(p11->C_GenerateRandom(session, &byte, 1), CKR_SESSION_HANDLE_INVALID);
    OK(p11->C_GetSlotList(CK_FALSE, slots, &slot_count));
    OK(p11->C_GetSlotInfo(slots[0], &info));
    /* The parent is this guest; there is one at a time over a socket. */
    if (info.flags & CKF_TOKEN_PRESENT)
        client_die("two at one socket");
    EXPECT(p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_TOKEN_NOT_PRESENT);
    OK(p11->C_Finalize(NULL));
    _exit(0);
}

/* Children beside busy threads, and children of children. */
static void forks(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE key = client_key(session, "tls"), public_key = client_public(session, "tls");
    atomic_int is_over = 0;
    pthread_t all[8];

    for (size_t i = 0; i < 8; i++)
        if (pthread_create(&all[i], NULL, busy, (void *)(size_t)&is_over))
            client_die("no thread");
    for (unsigned int i = 0; i < count; i++) {
        int status;
        pid_t child = fork();

        if (child == 0) {
            /* One more generation, for every other. */
            if (i % 2 && (child = fork()) > 0)
                _exit(waitpid(child, &status, 0) == child && status == 0 ? 0 : 1);
            in_child(session);
        }
        if (waitpid(child, &status, 0) != child || status != 0)
            client_die("a child broke");
        client_round_trip(session, &ecdsa, key, public_key, i);
    }
    atomic_store(&is_over, 1);
    for (size_t i = 0; i < 8; i++)
        pthread_join(all[i], NULL);
    client_count("children", count);
}

/* After its parent has ended the library, or never had a device, a child has it for itself. */
static void child_alone(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    int status;
    pid_t child;

    OK(p11->C_CloseSession(session));
    OK(p11->C_Finalize(NULL));
    OK(p11->C_Initialize(NULL));
    child = fork();
    if (child == 0) {
        OK(p11->C_Initialize(NULL));
        session = client_session(0);
        client_round_trip(session, &ecdsa, client_key(session, "tls"), client_public(session, "tls"), 1);
        OK(p11->C_Finalize(NULL));
        _exit(0);
    }
    if (waitpid(child, &status, 0) != child || status != 0)
        client_die("the child broke");
    client_say("the child signed");
}

/* Begin and end, without an open descriptor more. */
static void lives(unsigned int count)
{
    unsigned int before = 0, after = 0;

    for (unsigned int i = 0; i < count; i++) {
        CK_SESSION_HANDLE session = client_session(0);
        DIR *folder = opendir("/proc/self/fd");

        after = 0;
        while (folder && readdir(folder))
            after++;
        closedir(folder);
        if (!i)
            before = after;
        client_round_trip(session, &ecdsa, client_key(session, "tls"), client_public(session, "tls"), i);
        OK(p11->C_Finalize(NULL));
        OK(p11->C_Initialize(NULL));
    }
    if (after != before)
        client_die("descriptors are left");
    client_count("lives", count);
}

/* What is done while the test rotates, destroys and grants. */
static void rotation(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE key = client_key(session, "tls"), box = client_key(session, "box");
    CK_MECHANISM gcm = {CKM_AES_GCM, NULL, 0};
    CK_BYTE nonce[12], tag[16], sealed[5], text[5], before[128], after[128], message[4] = "abc", signature[64];
    CK_GCM_MESSAGE_PARAMS parameter = {nonce, 12, 0, CKG_GENERATE, tag, 128};
    CK_ATTRIBUTE point = {CKA_EC_POINT, before, sizeof(before)};
    CK_ULONG size = 5, signature_size = sizeof(signature);

    OK(p11->C_MessageEncryptInit(session, &gcm, box));
    OK(p11->C_EncryptMessage(session, &parameter, sizeof(parameter), NULL, 0, (CK_BYTE *)"hello", 5, sealed, &size));
    OK(p11->C_SignInit(session, &ecdsa, key));
    OK(p11->C_Sign(session, message, 3, signature, &signature_size));
    OK(p11->C_GetAttributeValue(session, key, &point, 1));
    client_say("ready");
    client_wait();
    /* The same handles; what older versions made is still read. */
    client_round_trip(session, &ecdsa, key, client_public(session, "tls"), 1);
    OK(p11->C_VerifyInit(session, &ecdsa, client_public(session, "tls")));
    OK(p11->C_Verify(session, message, 3, signature, signature_size));
    OK(p11->C_MessageDecryptInit(session, &gcm, box));
    OK(p11->C_DecryptMessage(session, &parameter, sizeof(parameter), NULL, 0, sealed, 5, text, &size));
    if (size != 5 || memcmp(text, "hello", 5) != 0)
        client_die("another text");
    point = (CK_ATTRIBUTE){CKA_EC_POINT, after, sizeof(after)};
    OK(p11->C_GetAttributeValue(session, key, &point, 1));
    if (memcmp(before, after, point.ulValueLen) == 0)
        client_die("the same public key");
    client_say("rotated");
    client_wait();
    /* A grant that was taken away. */
    OK(p11->C_SignInit(session, &ecdsa, key));
    EXPECT(p11->C_Sign(session, message, 3, signature, &signature_size), CKR_KEY_HANDLE_INVALID);
    EXPECT(p11->C_SignInit(session, &ecdsa, key), CKR_OK);
    EXPECT(p11->C_SignInit(session, NULL, key), CKR_OK);
    if (client_find(session, CKO_PRIVATE_KEY, "tls") != CK_INVALID_HANDLE)
        client_die("it is still there");
    EXPECT(p11->C_SignInit(session, &ecdsa, key), CKR_KEY_HANDLE_INVALID);
    client_say("taken");
    client_wait();
    /* One that was just given. */
    client_round_trip(session, &ecdsa, client_key(session, "late"), client_public(session, "late"), 1);
    client_say("given");
}

static void *look(void *barrier)
{
    CK_SLOT_ID slots[4];
    CK_ULONG slot_count = 4;

    pthread_barrier_wait(barrier);
    OK(p11->C_GetSlotList(CK_FALSE, slots, &slot_count));
    client_expect("slots", slot_count, 1);
    return NULL;
}

/* Threads that all want the slots when nobody has looked for devices yet. */
static void first_look(unsigned int count)
{
    pthread_barrier_t barrier;
    pthread_t all[8];

    pthread_barrier_init(&barrier, NULL, 8);
    for (unsigned int round = 0; round < count; round++) {
        for (size_t i = 0; i < 8; i++)
            if (pthread_create(&all[i], NULL, look, &barrier))
                client_die("no thread");
        for (size_t i = 0; i < 8; i++)
            pthread_join(all[i], NULL);
        OK(p11->C_Finalize(NULL));
        OK(p11->C_Initialize(NULL));
    }
    client_count("looks", count);
}

int main(int argc, char **argv)
{
    static const struct client_command commands[] = {
        {"finalize", finalize}, {"forks", forks},       {"child-alone", child_alone},
        {"lives", lives},       {"rotation", rotation}, {"first-look", first_look},
        {NULL, NULL},
    };

    return client_main(argc, argv, commands);
}
