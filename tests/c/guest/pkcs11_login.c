/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Logging in to a token, and keys that ask for it.
 *   pkcs11_login MODULE COMMAND
 * The guest has the keys "tls" (EC P-256) and "tag" (HMAC), and for "required" the same as "tls-login" and "tag-login",
 * whose grants say login.
 */
#include "pkcs11_client.h"

static CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0}, hmac = {CKM_SHA256_HMAC, NULL, 0};
static CK_BYTE text[] = "what is signed";

/* Logged in is the token, for all of its sessions, until one of them logs out or none is left (6.7.4). */
static void shared(unsigned int count)
{
    CK_SESSION_HANDLE reading = client_session(0), writing = client_session(CKF_RW_SESSION);
    CK_SESSION_INFO info;

    OK(p11->C_Login(reading, CKU_USER, text, 5));
    EXPECT(p11->C_Login(writing, CKU_USER, text, 5), CKR_USER_ALREADY_LOGGED_IN);
    OK(p11->C_GetSessionInfo(writing, &info));
    client_expect("state", info.state, CKS_RW_USER_FUNCTIONS);
    OK(p11->C_Logout(writing));
    OK(p11->C_GetSessionInfo(reading, &info));
    client_expect("state", info.state, CKS_RO_PUBLIC_SESSION);
    EXPECT(p11->C_Login(reading, CKU_CONTEXT_SPECIFIC, text, 5), CKR_OPERATION_NOT_INITIALIZED);
    EXPECT(p11->C_Login(reading, CKU_USER, NULL, 5), CKR_ARGUMENTS_BAD);
    OK(p11->C_LoginUser(reading, CKU_USER, NULL, 0, text, 5));
    OK(p11->C_CloseAllSessions(info.slotID));
    reading = client_session(0);
    OK(p11->C_GetSessionInfo(reading, &info));
    client_expect("state", info.state, CKS_RO_PUBLIC_SESSION);
    client_say("shared");
}

static void expect_private(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_BBOOL want)
{
    CK_BBOOL is_private;
    CK_ATTRIBUTE attribute = {CKA_PRIVATE, &is_private, sizeof(is_private)};

    OK(p11->C_GetAttributeValue(session, object, &attribute, 1));
    client_expect("private", is_private, want);
}

static CK_ULONG count_all(CK_SESSION_HANDLE session)
{
    CK_OBJECT_HANDLE found[256];
    CK_ULONG number;

    OK(p11->C_FindObjectsInit(session, NULL, 0));
    OK(p11->C_FindObjects(session, found, 256, &number));
    OK(p11->C_FindObjectsFinal(session));
    return number;
}

/* As long as nobody is logged in there are no such keys, whatever handle somebody has: the others are there. */
static void expect_hidden(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, CK_OBJECT_HANDLE tag_key)
{
    CK_OBJECT_CLASS class;
    CK_ATTRIBUTE attribute = {CKA_CLASS, &class, sizeof(class)};
    CK_MECHANISM wrap = {CKM_AES_KEY_WRAP, NULL, 0}, derive = {CKM_HKDF_DERIVE, NULL, 0};
    CK_ULONG size;

    client_expect("pair", client_find(session, CKO_PRIVATE_KEY, "tls-login"), CK_INVALID_HANDLE);
    client_expect("secret", client_find(session, CKO_SECRET_KEY, "tag-login"), CK_INVALID_HANDLE);
    EXPECT(p11->C_GetAttributeValue(session, key, &attribute, 1), CKR_OBJECT_HANDLE_INVALID);
    EXPECT(p11->C_GetObjectSize(session, key, &size), CKR_OBJECT_HANDLE_INVALID);
    EXPECT(p11->C_CopyObject(session, key, NULL, 0, &key), CKR_OBJECT_HANDLE_INVALID);
    EXPECT(p11->C_SignInit(session, &ecdsa, key), CKR_USER_NOT_LOGGED_IN);
    EXPECT(p11->C_SignInit(session, &hmac, tag_key), CKR_USER_NOT_LOGGED_IN);
    EXPECT(p11->C_VerifyInit(session, &hmac, tag_key), CKR_USER_NOT_LOGGED_IN);
    EXPECT(p11->C_MessageEncryptInit(session, &hmac, tag_key), CKR_USER_NOT_LOGGED_IN);
    EXPECT(p11->C_DeriveKey(session, &derive, tag_key, NULL, 0, &key), CKR_USER_NOT_LOGGED_IN);
    EXPECT(p11->C_WrapKey(session, &wrap, tag_key, tag_key, NULL, &size), CKR_USER_NOT_LOGGED_IN);
    client_round_trip(session, &ecdsa, client_key(session, "tls"), client_public(session, "tls"), 1);
}

/* Sections 4.4 and 5.6.8 of the standard: CKA_PRIVATE. */
static void required(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE public_key = client_public(session, "tls-login"), key, tag_key;
    CK_ULONG hidden, size = 64;
    CK_BYTE signature[64] = {0};
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token;

    OK(p11->C_GetSessionInfo(session, &info));
    OK(p11->C_GetTokenInfo(info.slotID, &token));
    client_expect("login required", token.flags & CKF_LOGIN_REQUIRED, CKF_LOGIN_REQUIRED);
    hidden = count_all(session);
    expect_private(session, public_key, CK_FALSE);
    OK(p11->C_Login(session, CKU_USER, text, 5));
    client_expect("more", count_all(session), hidden + 2);
    key = client_key(session, "tls-login");
    tag_key = client_key(session, "tag-login");
    expect_private(session, key, CK_TRUE);
    expect_private(session, tag_key, CK_TRUE);
    expect_private(session, client_key(session, "tls"), CK_FALSE);
    client_round_trip(session, &ecdsa, key, public_key, 2);
    OK(p11->C_Logout(session));
    client_expect("as before", count_all(session), hidden);
    expect_hidden(session, key, tag_key);
    /* What the key signs is verified by anybody. */
    OK(p11->C_VerifyInit(session, &ecdsa, public_key));
    EXPECT(p11->C_Verify(session, text, 5, signature, size), CKR_SIGNATURE_INVALID);
    OK(p11->C_Login(session, CKU_USER, NULL, 0));
    client_round_trip(session, &ecdsa, key, public_key, 3);
    client_round_trip(session, &hmac, tag_key, tag_key, 4);
    client_say("required");
}

int main(int argc, char **argv)
{
    static const struct client_command commands[] = {{"shared", shared}, {"required", required}, {NULL, NULL}};

    return client_main(argc, argv, commands);
}
