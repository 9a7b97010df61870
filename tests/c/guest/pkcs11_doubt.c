/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * What the PKCS#11 module makes of a device that lies: a line for each call, with what it returned and how much it
 * gave. pkcs11_doubt MODULE calls
 */
#include <stdio.h>
#include <string.h>

#include "pkcs11_client.h"

static CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0};
static CK_MECHANISM wrap = {CKM_AES_KEY_WRAP, NULL, 0};
static CK_BYTE text[32], out[4096];

/* @number: as it is after the call. */
static void say(const char *call, CK_RV rv, const CK_ULONG *number)
{
    printf("%s 0x%lx %ld\n", call, rv, (long)*number);
}

static void attribute(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE key, const char *name, CK_ATTRIBUTE_TYPE type)
{
    CK_ATTRIBUTE wanted = {type, out, sizeof(out)};
    CK_RV rv = p11->C_GetAttributeValue(session, key, &wanted, 1);

    say(name, rv, &wanted.ulValueLen);
}

static CK_OBJECT_HANDLE find(CK_SESSION_HANDLE session, CK_OBJECT_CLASS class)
{
    CK_ATTRIBUTE wanted = {CKA_CLASS, &class, sizeof(class)};
    CK_OBJECT_HANDLE found[8] = {0};
    CK_ULONG count = 0;
    CK_RV rv = p11->C_FindObjectsInit(session, &wanted, 1);

    if (rv == CKR_OK) {
        OK(p11->C_FindObjects(session, found, 8, &count));
        OK(p11->C_FindObjectsFinal(session));
    }
    say("find", rv, &count);
    return found[0];
}

static void calls(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE key = find(session, CKO_PRIVATE_KEY), secret = find(session, CKO_SECRET_KEY);
    CK_ULONG size = sizeof(out);

    attribute(session, key, "label", CKA_LABEL);
    attribute(session, key, "point", CKA_EC_POINT);
    attribute(session, key, "modulus", CKA_MODULUS);
    attribute(session, key, "info", CKA_PUBLIC_KEY_INFO);
    if (p11->C_SignInit(session, &ecdsa, key) == CKR_OK)
        say("sign", p11->C_Sign(session, text, sizeof(text), out, &size), &size);
    size = sizeof(out);
    if (p11->C_EncryptInit(session, &wrap, secret) == CKR_OK)
        say("encrypt", p11->C_Encrypt(session, text, sizeof(text), out, &size), &size);
    size = sizeof(out);
    if (p11->C_DecryptInit(session, &wrap, secret) == CKR_OK)
        say("decrypt", p11->C_Decrypt(session, text, sizeof(text), out, &size), &size);
    size = 16;
    say("random", p11->C_GenerateRandom(session, out, size), &size);
    OK(p11->C_CloseSession(session));
    fflush(stdout);
}

int main(int argc, char **argv)
{
    static const struct client_command commands[] = {{"calls", calls}, {NULL, NULL}};

    return client_main(argc, argv, commands);
}
