/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random calls of the PKCS#11 module, right and wrong ones mixed, over a few sessions: nothing crashes, nothing hangs,
 * and what is returned is a name of the standard's that the table of the module has.
 *   pkcs11_random MODULE SEED [COUNT]
 */
#include <stdlib.h>

#include "pkcs11_any.h"
#include "pkcs11_client.h"

#define SESSIONS 4
#define HANDLES  64

static CK_SESSION_HANDLE sessions[SESSIONS];
static CK_OBJECT_HANDLE handles[HANDLES];
static CK_ULONG handle_count;

static CK_SESSION_HANDLE any_session(void)
{
    return draw(20) ? sessions[draw(SESSIONS)] : draw(100000);
}

static CK_OBJECT_HANDLE any_handle(void)
{
    return draw(12) && handle_count ? handles[draw((uint32_t)handle_count)] : draw(2000);
}

static void keep(CK_RV rv, CK_OBJECT_HANDLE handle)
{
    if (rv == CKR_OK)
        handles[handle_count < HANDLES ? handle_count++ : draw(HANDLES)] = handle;
}

static CK_RV call_objects(uint32_t which)
{
    CK_ATTRIBUTE attributes[4];
    CK_OBJECT_HANDLE found[8], made = 0;
    CK_ULONG count = any_template(attributes, 4), number = 8;
    CK_BYTE out[256];
    CK_RV rv;

    switch (which) {
    case 0:
        return p11->C_FindObjectsInit(any_session(), attributes, count);
    case 1:
        rv = p11->C_FindObjects(any_session(), found, draw(9), &number);
        for (CK_ULONG i = 0; rv == CKR_OK && i < number; i++)
            keep(rv, found[i]);
        return rv;
    case 2:
        return p11->C_FindObjectsFinal(any_session());
    case 3:
        for (CK_ULONG i = 0; i < count; i++) {
            attributes[i].pValue = draw(3) ? out + 60 * i : NULL;
            attributes[i].ulValueLen = draw(61);
        }
        return p11->C_GetAttributeValue(any_session(), any_handle(), attributes, count);
    case 4:
        rv = p11->C_CreateObject(any_session(), attributes, count, &made);
        keep(rv, made);
        return rv;
    case 5:
        return p11->C_DestroyObject(any_session(), any_handle());
    case 6:
        rv = p11->C_DeriveKey(any_session(), any_mechanism(), any_handle(), attributes, count, &made);
        keep(rv, made);
        return rv;
    case 7:
        rv = p11->C_GenerateKey(any_session(), any_mechanism(), attributes, count, &made);
        keep(rv, made);
        return rv;
    default:
        number = draw(257);
        return p11->C_WrapKey(any_session(), any_mechanism(), any_handle(), any_handle(), draw(4) ? out : NULL,
                              &number);
    }
}

static CK_RV call_operation(uint32_t which, CK_BYTE *in, CK_ULONG in_size, CK_BYTE *out, CK_ULONG *out_size)
{
    CK_SESSION_HANDLE session = any_session();
    CK_GCM_MESSAGE_PARAMS *message;
    CK_ULONG message_size;

    switch (which) {
    case 0:
        return p11->C_SignInit(session, any_mechanism(), any_handle());
    case 1:
        return p11->C_Sign(session, in, in_size, out, out_size);
    case 2:
        return p11->C_SignUpdate(session, in, in_size);
    case 3:
        return p11->C_SignFinal(session, out, out_size);
    case 4:
        return p11->C_VerifyInit(session, any_mechanism(), any_handle());
    case 5:
        return p11->C_Verify(session, in, in_size, in, in_size);
    case 6:
        return p11->C_VerifyUpdate(session, in, in_size);
    case 7:
        return p11->C_VerifyFinal(session, in, in_size);
    case 8:
        return p11->C_EncryptInit(session, any_mechanism(), any_handle());
    case 9:
        return p11->C_Encrypt(session, in, in_size, out, out_size);
    case 10:
        return p11->C_EncryptUpdate(session, in, in_size, out, out_size);
    case 11:
        return p11->C_EncryptFinal(session, out, out_size);
    case 12:
        return p11->C_DecryptInit(session, any_mechanism(), any_handle());
    case 13:
        return p11->C_Decrypt(session, in, in_size, out, out_size);
    case 14:
        return p11->C_DecryptUpdate(session, in, in_size, out, out_size);
    case 15:
        return p11->C_DecryptFinal(session, out, out_size);
    case 16:
        return p11->C_MessageEncryptInit(session, any_mechanism(), any_handle());
    case 17:
        return p11->C_EncryptMessage(session, in, in_size, NULL, 0, in, in_size, out, out_size);
    case 18:
        return p11->C_MessageEncryptFinal(session);
    case 19:
        message = any_message(&message_size);
        return p11->C_EncryptMessageBegin(session, message, message_size, in, in_size);
    case 20:
        message = any_message(&message_size);
        return p11->C_EncryptMessageNext(session, message, message_size, in, in_size, out, out_size, draw(3));
    case 21:
        return p11->C_MessageDecryptInit(session, any_mechanism(), any_handle());
    case 22:
        message = any_message(&message_size);
        return p11->C_DecryptMessageBegin(session, message, message_size, in, in_size);
    case 23:
        message = any_message(&message_size);
        return p11->C_DecryptMessageNext(session, message, message_size, in, in_size, out, out_size, draw(3));
    default:
        return p11->C_SessionCancel(session, draw(1u << 20));
    }
}

/* What the three groups are not about, and what this module does not have. */
static CK_RV call_rest(uint32_t which)
{
    CK_ATTRIBUTE attributes[4], more[4];
    CK_ULONG count = any_template(attributes, 4), more_count = any_template(more, 4), size = draw(257), message_size;
    CK_SESSION_HANDLE session = any_session();
    CK_OBJECT_HANDLE made = 0, other = 0;
    CK_GCM_MESSAGE_PARAMS *message = any_message(&message_size);
    CK_MECHANISM_INFO mechanism;
    CK_SESSION_INFO info;
    CK_TOKEN_INFO token;
    CK_BYTE room[256] = {0};
    CK_RV rv;

    switch (which) {
    case 0:
        return p11->C_Login(session, draw(4) ? CKU_USER : draw(4), draw(4) ? room : NULL, draw(9));
    case 1:
        return p11->C_LoginUser(session, draw(4) ? CKU_USER : draw(4), NULL, draw(2), room, draw(9));
    case 2:
        return p11->C_Logout(session);
    case 3:
        return p11->C_GetSessionInfo(session, draw(9) ? &info : NULL);
    case 4:
        return p11->C_GetTokenInfo(draw(3), draw(9) ? &token : NULL);
    case 5:
        return p11->C_GetMechanismInfo(draw(2), any_mechanism_type(), draw(9) ? &mechanism : NULL);
    case 6:
        return p11->C_CopyObject(session, any_handle(), attributes, count, &made);
    case 7:
        return p11->C_SetAttributeValue(session, any_handle(), attributes, count);
    case 8:
        return p11->C_GetObjectSize(session, any_handle(), draw(9) ? &size : NULL);
    case 9:
        rv = p11->C_GenerateKeyPair(session, any_mechanism(), attributes, count, more, more_count, &made, &other);
        keep(rv, made);
        keep(rv, other);
        return rv;
    case 10:
        rv = p11->C_UnwrapKey(session, any_mechanism(), any_handle(), draw(9) ? room : NULL, size < 256 ? size : 256,
                              attributes, count, &made);
        keep(rv, made);
        return rv;
    case 11:
        return p11->C_EncapsulateKey(session, any_mechanism(), any_handle(), attributes, count, room, &size, &made);
    case 12:
        return p11->C_DecapsulateKey(session, any_mechanism(), any_handle(), attributes, count, room, draw(257), &made);
    case 13:
        return p11->C_SeedRandom(session, room, draw(257));
    case 14:
        return p11->C_GenerateRandom(session, draw(9) ? room : NULL, draw(257));
    case 15:
        return p11->C_EncryptMessage(session, message, message_size, room, draw(65), room, draw(65), room, &size);
    case 16:
        return p11->C_DecryptMessage(session, message, message_size, room, draw(65), room, draw(65), room, &size);
    case 17:
        return p11->C_DigestInit(session, any_mechanism());
    case 18:
        return p11->C_GetOperationState(session, room, &size);
    case 19:
        return p11->C_MessageSignInit(session, any_mechanism(), any_handle());
    case 20:
        return p11->C_WaitForSlotEvent(CKF_DONT_BLOCK, &size, NULL);
    default:
        return p11->C_GetSlotList(draw(2), NULL, draw(9) ? &size : NULL);
    }
}

static CK_RV one_call(void)
{
    CK_ULONG in_size, out_size, which = draw(100);
    CK_BYTE *in, *out;
    CK_RV rv;

    if (which < 3) {
        CK_ULONG at = draw(SESSIONS);

        rv = p11->C_CloseSession(sessions[at]);
        sessions[at] = client_session(draw(2) ? CKF_RW_SESSION : 0);
        return rv;
    }
    if (which < 35)
        return call_objects(draw(9));
    if (which < 50)
        return call_rest(draw(22));
    in = any_bytes(&in_size);
    out = any_bytes(&out_size);
    rv = call_operation(draw(25), in, in_size, out, draw(20) ? &out_size : NULL);
    free(in);
    free(out);
    return rv;
}

int main(int argc, char **argv)
{
    unsigned int count = argc > 3 ? (unsigned int)strtoul(argv[3], NULL, 10) : 1000, good = 0;

    if (argc < 3)
        client_die("MODULE SEED [COUNT]");
    any_begin(strtoul(argv[2], NULL, 10));
    client_load(argv[1]);
    OK(p11->C_Initialize(NULL));
    for (int i = 0; i < SESSIONS; i++)
        sessions[i] = client_session(0);
    OK(p11->C_FindObjectsInit(sessions[0], NULL, 0));
    OK(p11->C_FindObjects(sessions[0], handles, HANDLES / 2, &handle_count));
    OK(p11->C_FindObjectsFinal(sessions[0]));
    for (unsigned int i = 0; i < count; i++) {
        CK_RV rv = one_call();

        /* Nothing that would be the module's or the device's own fault. */
        if (rv == CKR_GENERAL_ERROR || rv == CKR_DEVICE_ERROR || rv == CKR_FUNCTION_FAILED || rv == CKR_HOST_MEMORY ||
            rv > CKR_KEY_EXHAUSTED)
            client_expect("a call", rv, CKR_OK);
        good += rv == CKR_OK;
    }
    OK(p11->C_Finalize(NULL));
    client_count("calls", count);
    return good ? 0 : 1;
}
