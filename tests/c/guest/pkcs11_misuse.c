/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Calls of the PKCS#11 module that are wrong, each with what the standard says of it.
 *   pkcs11_misuse MODULE COMMAND
 * The guest has the keys "tls" (EC P-256), "tag" (HMAC), "rsa" (RSA-2048) and "box" (AES).
 */
#include <stdio.h>
#include <string.h>

#include "pkcs11_client.h"

static CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0}, raw_ecdsa = {CKM_ECDSA, NULL, 0};
static CK_MECHANISM hmac = {CKM_SHA256_HMAC, NULL, 0}, rsa_info = {CKM_RSA_PKCS, NULL, 0};
static CK_MECHANISM vendor = {0x80000001, NULL, 0}, with_parameter = {CKM_ECDSA_SHA256, &vendor, 1};
static CK_BYTE data[(1 << 20) + 1], out[512];

static CK_RV lock_function(void *mutex)
{
    return CKR_OK;
}

static CK_RV create_function(void **mutex)
{
    return CKR_OK;
}

static void initialising(unsigned int count)
{
    CK_C_INITIALIZE_ARGS arguments = {create_function, lock_function, lock_function, lock_function, 0, NULL};
    CK_ULONG slots;
    CK_INFO info;

    OK(p11->C_Finalize(NULL));
    EXPECT(p11->C_GetInfo(&info), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT(p11->C_GetSlotList(CK_TRUE, NULL, &slots), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT(p11->C_CloseSession(1), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT(p11->C_SignInit(1, &hmac, 1), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT(p11->C_DigestInit(1, &hmac), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT(p11->C_InitToken(0, data, 1, data), CKR_CRYPTOKI_NOT_INITIALIZED);
    EXPECT(p11->C_Initialize(&arguments), CKR_CANT_LOCK);
    arguments.LockMutex = NULL;
    EXPECT(p11->C_Initialize(&arguments), CKR_ARGUMENTS_BAD);
    arguments.LockMutex = lock_function;
    arguments.flags = CKF_OS_LOCKING_OK;
    arguments.pReserved = data;
    EXPECT(p11->C_Initialize(&arguments), CKR_ARGUMENTS_BAD);
    arguments.pReserved = NULL;
    OK(p11->C_Initialize(&arguments));
    EXPECT(p11->C_Finalize(data), CKR_ARGUMENTS_BAD);
    EXPECT(p11->C_GetInfo(NULL), CKR_ARGUMENTS_BAD);
    client_say("initialising");
}

static void slots_and_sessions(unsigned int count)
{
    CK_SLOT_ID slots[4], slot;
    CK_SESSION_HANDLE session;
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token;
    CK_MECHANISM_INFO mechanism;
    CK_ULONG room = 0;

    EXPECT(p11->C_GetTokenInfo(1, &token), CKR_SLOT_ID_INVALID);
    EXPECT(p11->C_GetSlotList(CK_TRUE, NULL, NULL), CKR_ARGUMENTS_BAD);
    EXPECT(p11->C_GetSlotList(CK_TRUE, slots, &room), CKR_BUFFER_TOO_SMALL);
    OK(p11->C_GetSlotList(CK_TRUE, slots, &room));
    EXPECT(p11->C_OpenSession(slots[0] + 1, CKF_SERIAL_SESSION, NULL, NULL, &session), CKR_SLOT_ID_INVALID);
    EXPECT(p11->C_OpenSession(slots[0], 0, NULL, NULL, &session), CKR_SESSION_PARALLEL_NOT_SUPPORTED);
    EXPECT(p11->C_OpenSession(slots[0], CKF_SERIAL_SESSION, NULL, NULL, NULL), CKR_ARGUMENTS_BAD);
    EXPECT(p11->C_GetMechanismInfo(slots[0], CKM_SHA256, &mechanism), CKR_MECHANISM_INVALID);
    EXPECT(p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &slot, NULL), CKR_NO_EVENT);
    EXPECT(p11->C_InitToken(slots[0], data, 1, data), CKR_FUNCTION_NOT_SUPPORTED);
    session = client_session(0);
    EXPECT(p11->C_GetSessionInfo(session + 1, &info), CKR_SESSION_HANDLE_INVALID);
    EXPECT(p11->C_GetSessionInfo(CK_INVALID_HANDLE, &info), CKR_SESSION_HANDLE_INVALID);
    EXPECT(p11->C_GetSessionInfo(~0UL, &info), CKR_SESSION_HANDLE_INVALID);
    EXPECT(p11->C_GetSessionInfo(session, NULL), CKR_ARGUMENTS_BAD);
    OK(p11->C_Login(session, CKU_USER, NULL, 0));
    EXPECT(p11->C_Login(session, CKU_USER, data, 4), CKR_USER_ALREADY_LOGGED_IN);
    EXPECT(p11->C_Login(session, CKU_SO, data, 4), CKR_USER_TYPE_INVALID);
    OK(p11->C_GetSessionInfo(session, &info));
    client_expect("state", info.state, CKS_RO_USER_FUNCTIONS);
    OK(p11->C_Logout(session));
    EXPECT(p11->C_Logout(session), CKR_USER_NOT_LOGGED_IN);
    EXPECT(p11->C_SeedRandom(session, data, 1), CKR_RANDOM_SEED_NOT_SUPPORTED);
    EXPECT(p11->C_GetOperationState(session, out, &room), CKR_STATE_UNSAVEABLE);
    EXPECT(p11->C_DigestInit(session, &hmac), CKR_FUNCTION_NOT_SUPPORTED);
    EXPECT(p11->C_CancelFunction(session), CKR_FUNCTION_NOT_PARALLEL);
    OK(p11->C_CloseSession(session));
    EXPECT(p11->C_CloseSession(session), CKR_SESSION_HANDLE_INVALID);
    client_say("slots and sessions");
}

static void beginning(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE tls = client_key(session, "tls"), tls_public = client_public(session, "tls");
    CK_OBJECT_HANDLE tag = client_key(session, "tag");

    EXPECT(p11->C_SignInit(session, &vendor, tls), CKR_MECHANISM_INVALID);
    EXPECT(p11->C_SignInit(session, &with_parameter, tls), CKR_MECHANISM_PARAM_INVALID);
    EXPECT(p11->C_SignInit(session, &ecdsa, 0), CKR_KEY_HANDLE_INVALID);
    EXPECT(p11->C_SignInit(session, &ecdsa, ~0UL), CKR_KEY_HANDLE_INVALID);
    EXPECT(p11->C_SignInit(session, &ecdsa, tag), CKR_KEY_TYPE_INCONSISTENT);
    EXPECT(p11->C_SignInit(session, &ecdsa, tls_public), CKR_KEY_FUNCTION_NOT_PERMITTED);
    EXPECT(p11->C_VerifyInit(session, &ecdsa, tls), CKR_KEY_FUNCTION_NOT_PERMITTED);
    EXPECT(p11->C_EncryptInit(session, &ecdsa, tls_public), CKR_MECHANISM_INVALID);
    OK(p11->C_SignInit(session, &ecdsa, tls));
    EXPECT(p11->C_SignInit(session, &ecdsa, tls), CKR_OPERATION_ACTIVE);
    /* Others are none of its business. */
    OK(p11->C_VerifyInit(session, &ecdsa, tls_public));
    OK(p11->C_SessionCancel(session, CKF_SIGN));
    OK(p11->C_SignInit(session, &ecdsa, tls));
    EXPECT(p11->C_VerifyInit(session, &ecdsa, tls_public), CKR_OPERATION_ACTIVE);
    OK(p11->C_SignInit(session, NULL, 0));
    EXPECT(p11->C_SignUpdate(session, data, 1), CKR_OPERATION_NOT_INITIALIZED);
    EXPECT(p11->C_FindObjects(session, &tls, 1, &tag), CKR_OPERATION_NOT_INITIALIZED);
    EXPECT(p11->C_FindObjectsFinal(session), CKR_OPERATION_NOT_INITIALIZED);
    OK(p11->C_FindObjectsInit(session, NULL, 0));
    EXPECT(p11->C_FindObjectsInit(session, NULL, 0), CKR_OPERATION_ACTIVE);
    EXPECT(p11->C_FindObjects(session, NULL, 1, &tag), CKR_ARGUMENTS_BAD);
    client_say("beginning");
}

/* Section 5.2: what a caller gets who has no room, or only asks. */
static void room(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE tls = client_key(session, "tls"), box = client_key(session, "box");
    CK_GCM_PARAMS gcm_parameter = {data, 12, 96, NULL, 0, 128};
    CK_MECHANISM gcm = {CKM_AES_GCM, &gcm_parameter, sizeof(gcm_parameter)};
    CK_ULONG size = 0;

    OK(p11->C_SignInit(session, &ecdsa, tls));
    OK(p11->C_Sign(session, data, 5, NULL, &size));
    client_expect("size", size, 64);
    size = 63;
    EXPECT(p11->C_Sign(session, data, 5, out, &size), CKR_BUFFER_TOO_SMALL);
    client_expect("size", size, 64);
    OK(p11->C_Sign(session, data, 5, out, &size));
    EXPECT(p11->C_Sign(session, data, 5, out, &size), CKR_OPERATION_NOT_INITIALIZED);
    /* Parts and the whole are two ways. */
    OK(p11->C_SignInit(session, &ecdsa, tls));
    OK(p11->C_SignUpdate(session, data, 5));
    EXPECT(p11->C_Sign(session, data, 5, out, &size), CKR_OPERATION_ACTIVE);
    size = 1;
    EXPECT(p11->C_SignFinal(session, out, &size), CKR_BUFFER_TOO_SMALL);
    OK(p11->C_SignFinal(session, out, &size));
    EXPECT(p11->C_SignFinal(session, out, &size), CKR_OPERATION_NOT_INITIALIZED);
    OK(p11->C_SignInit(session, &ecdsa, tls));
    EXPECT(p11->C_Sign(session, NULL, 5, out, &size), CKR_ARGUMENTS_BAD);
    EXPECT(p11->C_Sign(session, data, 5, out, &size), CKR_OPERATION_NOT_INITIALIZED);
    OK(p11->C_SignInit(session, &ecdsa, tls));
    EXPECT(p11->C_Sign(session, data, 5, out, NULL), CKR_ARGUMENTS_BAD);
    OK(p11->C_EncryptInit(session, &gcm, box));
    size = 0;
    OK(p11->C_EncryptUpdate(session, data, 5, out, &size));
    client_expect("size", size, 0);
    OK(p11->C_EncryptFinal(session, NULL, &size));
    client_expect("size", size, 21);
    OK(p11->C_EncryptFinal(session, out, &size));
    OK(p11->C_DecryptInit(session, &gcm, box));
    size = 4;
    EXPECT(p11->C_Decrypt(session, out, 21, out, &size), CKR_BUFFER_TOO_SMALL);
    client_expect("size", size, 5);
    OK(p11->C_Decrypt(session, out, 21, out, &size));
    OK(p11->C_DecryptInit(session, &gcm, box));
    EXPECT(p11->C_Decrypt(session, out, 15, out, &size), CKR_ENCRYPTED_DATA_LEN_RANGE);
    client_say("room");
}

static void data_of_wrong_sizes(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE tls = client_key(session, "tls"), tag = client_key(session, "tag");
    CK_ULONG size = sizeof(out);

    OK(p11->C_SignInit(session, &raw_ecdsa, tls));
    EXPECT(p11->C_Sign(session, data, 20, out, &size), CKR_DATA_LEN_RANGE);
    OK(p11->C_SignInit(session, &rsa_info, client_key(session, "rsa")));
    size = sizeof(out);
    EXPECT(p11->C_Sign(session, data, 32, out, &size), CKR_DATA_INVALID);
    OK(p11->C_SignInit(session, &hmac, tag));
    EXPECT(p11->C_Sign(session, data, (1 << 20) + 1, out, &size), CKR_DATA_LEN_RANGE);
    OK(p11->C_SignInit(session, &hmac, tag));
    OK(p11->C_SignUpdate(session, data, 1 << 20));
    EXPECT(p11->C_SignUpdate(session, data, 1), CKR_DATA_LEN_RANGE);
    EXPECT(p11->C_SignFinal(session, out, &size), CKR_OPERATION_NOT_INITIALIZED);
    OK(p11->C_SignInit(session, &hmac, tag));
    EXPECT(p11->C_SignUpdate(session, data, ~0UL), CKR_DATA_LEN_RANGE);
    OK(p11->C_SignInit(session, &hmac, tag));
    OK(p11->C_Sign(session, data, 1 << 20, out, &size));
    client_say("data");
}

static void objects(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0), writing = client_session(CKF_RW_SESSION);
    CK_OBJECT_HANDLE tls = client_key(session, "tls"), made, public_key;
    CK_BYTE p256[] = {0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07},
            p521[] = {6, 5, 0x2b, 0x81, 4, 0, 0x23};
    CK_BBOOL yes = CK_TRUE;
    CK_ULONG class = CKO_PRIVATE_KEY, size = 2;
    CK_ATTRIBUTE several[] = {{CKA_SIGN, out, 1}, {CKA_VALUE, out, 32}, {CKA_MODULUS, out, 8}, {CKA_LABEL, out, 1}};
    CK_ATTRIBUTE curve[] = {{CKA_TOKEN, &yes, 1}, {CKA_EC_PARAMS, p256, sizeof(p256)}, {CKA_EXTRACTABLE, &yes, 1}};
    CK_MECHANISM generate = {CKM_EC_KEY_PAIR_GEN, NULL, 0}, none = {CKM_RSA_PKCS, NULL, 0},
                 secret = {CKM_GENERIC_SECRET_KEY_GEN, NULL, 0};
    CK_ATTRIBUTE length[] = {{CKA_VALUE_LEN, &size, sizeof(size)}};

    EXPECT(p11->C_GetAttributeValue(session, tls, several, 3), CKR_ATTRIBUTE_TYPE_INVALID);
    client_expect("given", several[0].ulValueLen, 1);
    client_expect("sensitive", several[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    client_expect("none", several[2].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    several[1].ulValueLen = 32;
    EXPECT(p11->C_GetAttributeValue(session, tls, several, 2), CKR_ATTRIBUTE_SENSITIVE);
    EXPECT(p11->C_GetAttributeValue(session, tls, several + 3, 1), CKR_BUFFER_TOO_SMALL);
    EXPECT(p11->C_GetAttributeValue(session, ~0UL, several, 1), CKR_OBJECT_HANDLE_INVALID);
    EXPECT(p11->C_GetAttributeValue(session, tls, NULL, 1), CKR_ARGUMENTS_BAD);
    EXPECT(p11->C_SetAttributeValue(session, tls, several, 1), CKR_ACTION_PROHIBITED);
    EXPECT(p11->C_CopyObject(session, tls, NULL, 0, &made), CKR_ACTION_PROHIBITED);
    EXPECT(p11->C_DestroyObject(writing, tls), CKR_ACTION_PROHIBITED);
    EXPECT(p11->C_DestroyObject(writing, 3), CKR_OBJECT_HANDLE_INVALID);
    EXPECT(p11->C_CreateObject(session, NULL, 0, &made), CKR_ARGUMENTS_BAD);
    curve[2] = (CK_ATTRIBUTE){CKA_CLASS, &class, sizeof(class)};
    EXPECT(p11->C_CreateObject(session, curve + 2, 1, &made), CKR_TEMPLATE_INCONSISTENT);
    EXPECT(p11->C_GenerateKeyPair(session, &generate, curve, 2, NULL, 0, &public_key, &made), CKR_SESSION_READ_ONLY);
    EXPECT(p11->C_GenerateKeyPair(session, &none, several, 4, NULL, 0, &public_key, &made), CKR_MECHANISM_INVALID);
    EXPECT(p11->C_GenerateKeyPair(writing, &generate, curve + 1, 1, NULL, 0, &public_key, &made),
           CKR_TEMPLATE_INCONSISTENT);
    EXPECT(p11->C_GenerateKeyPair(writing, &generate, curve, 1, NULL, 0, &public_key, &made), CKR_TEMPLATE_INCOMPLETE);
    curve[2] = (CK_ATTRIBUTE){CKA_EXTRACTABLE, &yes, 1};
    EXPECT(p11->C_GenerateKeyPair(writing, &generate, curve, 3, NULL, 0, &public_key, &made),
           CKR_TEMPLATE_INCONSISTENT);
    curve[1] = (CK_ATTRIBUTE){CKA_EC_PARAMS, p521, sizeof(p521)};
    EXPECT(p11->C_GenerateKeyPair(writing, &generate, curve, 2, NULL, 0, &public_key, &made), CKR_CURVE_NOT_SUPPORTED);
    EXPECT(p11->C_GenerateKey(session, &secret, NULL, 0, &made), CKR_TEMPLATE_INCOMPLETE);
    size = 1025;
    EXPECT(p11->C_GenerateKey(session, &secret, length, 1, &made), CKR_KEY_SIZE_RANGE);
    size = 1024;
    OK(p11->C_GenerateKey(session, &secret, length, 1, &made));
    /* A session takes its secrets along. */
    OK(p11->C_GetAttributeValue(writing, made, length, 1));
    OK(p11->C_CloseSession(session));
    EXPECT(p11->C_GetAttributeValue(writing, made, length, 1), CKR_OBJECT_HANDLE_INVALID);
    client_say("objects");
}

static void all(unsigned int count)
{
    initialising(count);
    slots_and_sessions(count);
    beginning(count);
    room(count);
    data_of_wrong_sizes(count);
    objects(count);
}

int main(int argc, char **argv)
{
    static const struct client_command commands[] = {{"all", all}, {NULL, NULL}};

    return client_main(argc, argv, commands);
}
