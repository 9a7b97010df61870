/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the standard promises to callers of the PKCS#11 module who do nothing wrong.
 *   pkcs11_standard MODULE COMMAND [COUNT]      prints what it saw; 0 unless something broke
 * The guest has the keys "tls" (EC P-256), "tag" (HMAC), "rsa" (RSA-2048), "box" and "box-named" (AES).
 */
#define _GNU_SOURCE /* setenv */
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11_client.h"

static CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0}, hmac = {CKM_SHA256_HMAC, NULL, 0};
static CK_BYTE text[] = "hello";

static void no_pointer_is_null(const void *list, size_t size)
{
    for (size_t at = sizeof(void *); at < size; at += sizeof(void *)) {
        void *pointer;

        memcpy(&pointer, (const char *)list + at, sizeof(pointer));
        if (!pointer)
            client_die("a function is missing");
    }
}

/* Section 5.4.4 to 5.4.6. */
static void interfaces(unsigned int count)
{
    CK_INTERFACE *found, all[8];
    CK_BYTE name[] = "PKCS 11", other[] = "Vendor";
    CK_VERSION v2 = {2, 40}, v3 = {3, 0}, v9 = {9, 0};
    CK_FUNCTION_LIST *old;
    CK_ULONG room = 0;

    OK(p11->C_GetInterfaceList(NULL, &room));
    client_expect("interfaces", room, 3);
    room = 2;
    EXPECT(p11->C_GetInterfaceList(all, &room), CKR_BUFFER_TOO_SMALL);
    client_expect("interfaces", room, 3);
    OK(p11->C_GetInterfaceList(all, &room));
    EXPECT(p11->C_GetInterfaceList(all, NULL), CKR_ARGUMENTS_BAD);
    OK(p11->C_GetInterface(NULL, NULL, &found, 0));
    client_expect("what callers get who do not say", ((CK_VERSION *)found->pFunctionList)->major, 3);
    no_pointer_is_null(p11, sizeof(*p11));
    OK(p11->C_GetInterface(name, &v3, &found, 0));
    no_pointer_is_null(found->pFunctionList, sizeof(CK_FUNCTION_LIST_3_0));
    OK(p11->C_GetInterface(name, &v2, &found, 0));
    no_pointer_is_null(found->pFunctionList, sizeof(CK_FUNCTION_LIST));
    OK(p11->C_GetFunctionList(&old));
    client_expect("major", old->version.major, 2);
    client_expect("minor", old->version.minor, 40);
    if (old != found->pFunctionList)
        client_die("two lists of version 2.40");
    EXPECT(p11->C_GetInterface(name, &v9, &found, 0), CKR_FUNCTION_FAILED);
    EXPECT(p11->C_GetInterface(other, NULL, &found, 0), CKR_FUNCTION_FAILED);
    EXPECT(p11->C_GetInterface(name, NULL, NULL, 0), CKR_ARGUMENTS_BAD);
    /* A child would go on with its parent's sessions. */
    EXPECT(p11->C_GetInterface(name, NULL, &found, CKF_INTERFACE_FORK_SAFE), CKR_FUNCTION_FAILED);
    client_say("interfaces");
}

/* Section 5.5.1: there are more slots once their number was asked for, else a list that had room has none any more. */
static void slots(unsigned int count)
{
    const char *named = getenv("VKS_DEVICE");
    char *device = named ? strdup(named) : NULL;
    CK_SLOT_ID found[4];
    CK_TOKEN_INFO token;
    CK_ULONG room = 4;

    if (!device || unsetenv("VKS_DEVICE"))
        client_die("no device");
    OK(p11->C_GetSlotList(CK_TRUE, NULL, &room));
    client_expect("slots", room, 0);
    if (setenv("VKS_DEVICE", device, 1))
        client_die("environment");
    free(device);
    room = 4;
    OK(p11->C_GetSlotList(CK_TRUE, found, &room));
    client_expect("slots", room, 0);
    OK(p11->C_GetSlotList(CK_TRUE, NULL, &room));
    client_expect("slots", room, 1);
    OK(p11->C_Finalize(NULL));
    OK(p11->C_Initialize(NULL));
    /* By a number out of a configuration, without any list. */
    OK(p11->C_GetTokenInfo(0, &token));
    OK(p11->C_Finalize(NULL));
    OK(p11->C_Initialize(NULL));
    room = 4;
    OK(p11->C_GetSlotList(CK_TRUE, found, &room));
    client_expect("slots", room, 1);
    client_say("slots");
}

static void expect_present(CK_SLOT_ID slot, CK_FLAGS present)
{
    CK_ULONG room = 0;
    CK_SLOT_INFO info;

    OK(p11->C_GetSlotInfo(slot, &info));
    client_expect("present", info.flags & CKF_TOKEN_PRESENT, present);
    OK(p11->C_GetSlotList(CK_TRUE, NULL, &room));
    client_expect("listed", room, present ? 1 : 0);
    OK(p11->C_GetSlotList(CK_FALSE, NULL, &room));
    client_expect("slots", room, 1);
}

/* A token that goes and comes back. */
static void presence(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_BYTE tag[32];
    CK_ULONG size = sizeof(tag);
    CK_SESSION_INFO info;

    OK(p11->C_GetSessionInfo(session, &info));
    expect_present(info.slotID, CKF_TOKEN_PRESENT);
    OK(p11->C_SignInit(session, &hmac, client_key(session, "tag")));
    client_say("there");
    client_wait();
    expect_present(info.slotID, 0);
    EXPECT(p11->C_Sign(session, text, 5, tag, &size), CKR_DEVICE_REMOVED);
    client_say("gone");
    client_wait();
    expect_present(info.slotID, CKF_TOKEN_PRESENT);
    OK(p11->C_SignInit(session, &hmac, client_key(session, "tag")));
    OK(p11->C_Sign(session, text, 5, tag, &size));
    client_say("back");
}

/* As many as the token says, and no more. */
static void session_limit(unsigned int count)
{
    CK_SESSION_HANDLE *opened, one;
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token;

    one = client_session(0);
    OK(p11->C_GetSessionInfo(one, &info));
    OK(p11->C_GetTokenInfo(info.slotID, &token));
    if (!(opened = calloc(token.ulMaxSessionCount, sizeof(*opened))))
        client_die("no limit");
    for (CK_ULONG i = 1; i < token.ulMaxSessionCount; i++)
        OK(p11->C_OpenSession(info.slotID, CKF_SERIAL_SESSION, NULL, NULL, &opened[i]));
    EXPECT(p11->C_OpenSession(info.slotID, CKF_SERIAL_SESSION, NULL, NULL, &opened[0]), CKR_SESSION_COUNT);
    OK(p11->C_CloseSession(opened[1]));
    OK(p11->C_OpenSession(info.slotID, CKF_SERIAL_SESSION, NULL, NULL, &opened[0]));
    EXPECT(p11->C_GetSessionInfo(opened[1], &info), CKR_SESSION_HANDLE_INVALID);
    OK(p11->C_CloseAllSessions(info.slotID));
    EXPECT(p11->C_GetSessionInfo(one, &info), CKR_SESSION_HANDLE_INVALID);
    free(opened);
    client_say("sessions");
}

/* A handle that was found once, and never looked for again, goes with what its key becomes. */
static void held(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE key = client_key(session, "tls"), public_key = client_public(session, "tls");
    CK_OBJECT_HANDLE tag_key = client_key(session, "tag"), box = client_key(session, "box");
    CK_BYTE signature[64], tag[32], nonce[12] = {0}, sealed[21], opened[5];
    CK_ULONG size = sizeof(signature), tag_size = sizeof(tag), sealed_size = sizeof(sealed), opened_size;
    CK_GCM_PARAMS parameter = {nonce, 12, 96, NULL, 0, 128};
    CK_MECHANISM gcm = {CKM_AES_GCM, &parameter, sizeof(parameter)};

    OK(p11->C_SignInit(session, &ecdsa, key));
    OK(p11->C_Sign(session, text, 5, signature, &size));
    OK(p11->C_SignInit(session, &hmac, tag_key));
    OK(p11->C_Sign(session, text, 5, tag, &tag_size));
    OK(p11->C_EncryptInit(session, &gcm, box));
    OK(p11->C_Encrypt(session, text, 5, sealed, &sealed_size));
    for (unsigned int i = 0; i < count; i++) {
        client_say("made");
        client_wait();
        OK(p11->C_VerifyInit(session, &ecdsa, public_key));
        OK(p11->C_Verify(session, text, 5, signature, size));
        OK(p11->C_VerifyInit(session, &hmac, tag_key));
        OK(p11->C_Verify(session, text, 5, tag, tag_size));
        OK(p11->C_DecryptInit(session, &gcm, box));
        opened_size = sizeof(opened);
        OK(p11->C_Decrypt(session, sealed, sealed_size, opened, &opened_size));
        client_round_trip(session, &ecdsa, key, public_key, i);
    }
    client_say("held");
}

/* Section 5.18.3: what is wrong with which of two keys. */
static void wrapping(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE tag = client_key(session, "tag"), box = client_key(session, "box-named"), secret, again;
    CK_ULONG class = CKO_SECRET_KEY, type = CKK_GENERIC_SECRET, size, length = 4;
    CK_MECHANISM wrap = {CKM_AES_KEY_WRAP_KWP, NULL, 0};
    CK_BBOOL no = CK_FALSE;
    CK_BYTE out[64];
    CK_ATTRIBUTE attributes[] = {{CKA_CLASS, &class, sizeof(class)},
                                 {CKA_KEY_TYPE, &type, sizeof(type)},
                                 {CKA_VALUE, text, 5},
                                 {CKA_EXTRACTABLE, &no, 1}};

    OK(p11->C_CreateObject(session, attributes, 3, &secret));
    EXPECT(p11->C_WrapKey(session, &wrap, 0, secret, out, &size), CKR_WRAPPING_KEY_HANDLE_INVALID);
    EXPECT(p11->C_WrapKey(session, &wrap, tag, secret, out, &size), CKR_WRAPPING_KEY_TYPE_INCONSISTENT);
    EXPECT(p11->C_WrapKey(session, &wrap, box, 0, out, &size), CKR_KEY_HANDLE_INVALID);
    EXPECT(p11->C_WrapKey(session, &wrap, box, box, out, &size), CKR_KEY_UNEXTRACTABLE);
    EXPECT(p11->C_WrapKey(session, NULL, box, secret, out, &size), CKR_ARGUMENTS_BAD);
    EXPECT(p11->C_WrapKey(session, &wrap, box, secret, out, NULL), CKR_ARGUMENTS_BAD);
    OK(p11->C_WrapKey(session, &wrap, box, secret, NULL, &size));
    client_expect("size", size, 16);
    size = 15;
    EXPECT(p11->C_WrapKey(session, &wrap, box, secret, out, &size), CKR_BUFFER_TOO_SMALL);
    client_expect("size", size, 16);
    OK(p11->C_WrapKey(session, &wrap, box, secret, out, &size));
    EXPECT(p11->C_UnwrapKey(session, &wrap, 0, out, size, attributes, 2, &again), CKR_UNWRAPPING_KEY_HANDLE_INVALID);
    EXPECT(p11->C_UnwrapKey(session, &wrap, tag, out, size, attributes, 2, &again),
           CKR_UNWRAPPING_KEY_TYPE_INCONSISTENT);
    EXPECT(p11->C_UnwrapKey(session, &wrap, box, out, 7, attributes, 2, &again), CKR_WRAPPED_KEY_LEN_RANGE);
    EXPECT(p11->C_UnwrapKey(session, &wrap, box, out, size, attributes, 3, &again), CKR_TEMPLATE_INCONSISTENT);
    OK(p11->C_CreateObject(session, attributes, 4, &secret));
    EXPECT(p11->C_WrapKey(session, &wrap, box, secret, out, &size), CKR_KEY_UNEXTRACTABLE);
    attributes[3] = (CK_ATTRIBUTE){CKA_VALUE_LEN, &length, sizeof(length)};
    EXPECT(p11->C_CreateObject(session, attributes, 4, &secret), CKR_TEMPLATE_INCONSISTENT);
    client_say("wrapping");
}

/* Section 5.7.5: a public key that the host does not give now keeps nobody from the rest; nor does it from finding. */
static void withheld(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE later = client_public(session, "later"), tls = client_public(session, "tls"), found[4];
    CK_BYTE point[128], label[16], info[256];
    CK_ATTRIBUTE attributes[] = {{CKA_EC_POINT, point, sizeof(point)}, {CKA_LABEL, label, sizeof(label)}};
    CK_ATTRIBUTE wanted = {CKA_PUBLIC_KEY_INFO, info, sizeof(info)};
    CK_ULONG number;

    EXPECT(p11->C_GetAttributeValue(session, later, attributes, 2), CKR_ATTRIBUTE_SENSITIVE);
    client_expect("withheld", attributes[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    client_expect("given", attributes[1].ulValueLen, 5);
    OK(p11->C_GetAttributeValue(session, tls, &wanted, 1));
    OK(p11->C_FindObjectsInit(session, &wanted, 1));
    OK(p11->C_FindObjects(session, found, 4, &number));
    OK(p11->C_FindObjectsFinal(session));
    client_expect("both halves of one pair", number, 2);
    client_say("withheld");
}

int main(int argc, char **argv)
{
    static const struct client_command commands[] = {
        {"interfaces", interfaces},       {"slots", slots}, {"presence", presence},
        {"session-limit", session_limit}, {"held", held},   {"wrapping", wrapping},
        {"withheld", withheld},           {NULL, NULL},
    };

    return client_main(argc, argv, commands);
}
