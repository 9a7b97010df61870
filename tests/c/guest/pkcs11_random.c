/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Random calls of the PKCS#11 module, right and wrong ones mixed, over a few sessions: nothing crashes, nothing hangs,
 * and what is returned is a name of the standard's that the table of the module has.
 *   pkcs11_random MODULE SEED [COUNT]
 */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11_client.h"

#define SESSIONS 4
#define HANDLES  64

static uint64_t state;
static CK_SESSION_HANDLE sessions[SESSIONS];
static CK_OBJECT_HANDLE handles[HANDLES];
static CK_ULONG handle_count;
static CK_BYTE data[4096];

static uint32_t draw(uint32_t below)
{
    /* xorshift64*: the same calls for the same seed. */
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (uint32_t)((state * UINT64_C(2685821657736338717)) >> 33) % below;
}

static CK_SESSION_HANDLE any_session(void)
{
    return draw(20) ? sessions[draw(SESSIONS)] : draw(100000);
}

static CK_OBJECT_HANDLE any_handle(void)
{
    return draw(12) && handle_count ? handles[draw((uint32_t)handle_count)] : draw(2000);
}

/* As long as it says, on the heap, so that a sanitizer sees each byte too many. */
static CK_BYTE *any_bytes(CK_ULONG *size)
{
    CK_BYTE *bytes;

    *size = draw(4) ? draw(80) : draw(sizeof(data));
    if (!draw(15))
        return NULL;
    bytes = malloc(*size ? *size : 1);
    if (bytes)
        memcpy(bytes, data, *size);
    return bytes;
}

static CK_MECHANISM *any_mechanism(void)
{
    static const CK_MECHANISM_TYPE types[] = {
        CKM_ECDSA,
        CKM_ECDSA_SHA256,
        CKM_EDDSA,
        CKM_RSA_PKCS,
        CKM_SHA256_RSA_PKCS,
        CKM_RSA_PKCS_PSS,
        CKM_SHA256_RSA_PKCS_PSS,
        CKM_RSA_PKCS_OAEP,
        CKM_AES_GCM,
        CKM_AES_CBC,
        CKM_AES_CTR,
        CKM_AES_KEY_WRAP,
        CKM_AES_KEY_WRAP_KWP,
        CKM_AES_CMAC,
        CKM_AES_XTS,
        CKM_SHA256_HMAC,
        CKM_ECDH1_DERIVE,
        CKM_HKDF_DERIVE,
        CKM_ML_DSA,
        CKM_ML_KEM,
        CKM_GENERIC_SECRET_KEY_GEN,
        CKM_SHA256,
    };
    static CK_RSA_PKCS_PSS_PARAMS pss = {CKM_SHA256, CKG_MGF1_SHA256, 32};
    static CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, NULL, 0};
    static CK_GCM_PARAMS gcm = {data, 12, 96, data, 9, 128};
    static CK_AES_CTR_PARAMS ctr = {128, {0}};
    static CK_ECDH1_DERIVE_PARAMS ecdh = {CKD_NULL, 0, NULL, 65, data};
    static CK_HKDF_PARAMS hkdf = {CK_TRUE, CK_TRUE, CKM_SHA256, CKF_HKDF_SALT_NULL, NULL, 0, 0, data, 4};
    static CK_MECHANISM mechanism;

    mechanism = (CK_MECHANISM){types[draw(sizeof(types) / sizeof(types[0]))], NULL, 0};
    switch (draw(5) ? mechanism.mechanism : types[draw(20)]) {
    case CKM_RSA_PKCS_PSS:
    case CKM_SHA256_RSA_PKCS_PSS:
        mechanism.pParameter = &pss;
        mechanism.ulParameterLen = sizeof(pss);
        break;
    case CKM_RSA_PKCS_OAEP:
        mechanism.pParameter = &oaep;
        mechanism.ulParameterLen = sizeof(oaep);
        break;
    case CKM_AES_GCM:
        mechanism.pParameter = &gcm;
        mechanism.ulParameterLen = sizeof(gcm);
        break;
    case CKM_AES_CTR:
        mechanism.pParameter = &ctr;
        mechanism.ulParameterLen = sizeof(ctr);
        break;
    case CKM_AES_CBC:
    case CKM_AES_XTS:
        mechanism.pParameter = data;
        mechanism.ulParameterLen = 16;
        break;
    case CKM_ECDH1_DERIVE:
        mechanism.pParameter = &ecdh;
        mechanism.ulParameterLen = sizeof(ecdh);
        break;
    case CKM_HKDF_DERIVE:
        mechanism.pParameter = &hkdf;
        mechanism.ulParameterLen = sizeof(hkdf);
        break;
    default:
        break;
    }
    return draw(30) ? &mechanism : NULL;
}

static CK_ULONG any_template(CK_ATTRIBUTE attributes[4])
{
    static const CK_ATTRIBUTE_TYPE types[] = {CKA_CLASS,
                                              CKA_TOKEN,
                                              CKA_LABEL,
                                              CKA_VALUE,
                                              CKA_KEY_TYPE,
                                              CKA_ID,
                                              CKA_SIGN,
                                              CKA_SENSITIVE,
                                              CKA_MODULUS,
                                              CKA_EC_POINT,
                                              CKA_VALUE_LEN,
                                              CKA_EC_PARAMS,
                                              CKA_EXTRACTABLE,
                                              CKA_UNIQUE_ID,
                                              CKA_ALLOWED_MECHANISMS,
                                              CKA_PUBLIC_KEY_INFO,
                                              0x80000001};
    static CK_ULONG numbers[4], length;
    CK_ULONG count = draw(5);

    for (CK_ULONG i = 0; i < count; i++) {
        numbers[i] = draw(40);
        attributes[i].type = types[draw(sizeof(types) / sizeof(types[0]))];
        attributes[i].pValue = draw(2) ? (void *)&numbers[i] : data;
        length = draw(3) ? sizeof(CK_ULONG) : draw(64);
        attributes[i].ulValueLen = attributes[i].pValue == data ? length : draw(2) ? sizeof(CK_ULONG) : 1;
        if (!draw(8))
            attributes[i].pValue = NULL;
    }
    return count;
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
    CK_ULONG count = any_template(attributes), number = 8;
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

/* Of a message: pointers that are good, since those of the caller are nothing that the module could check. */
static CK_GCM_MESSAGE_PARAMS *any_message(CK_ULONG *size)
{
    static CK_BYTE nonce[12], tag[16];
    static CK_GCM_MESSAGE_PARAMS message;

    message =
        (CK_GCM_MESSAGE_PARAMS){draw(9) ? nonce : NULL,         draw(9) ? 12 : draw(20), draw(9) ? 0 : draw(100),
                                draw(9) ? draw(5) : draw(1000), draw(9) ? tag : NULL,    draw(9) ? 128 : draw(200)};
    *size = draw(9) ? sizeof(message) : draw(sizeof(message));
    return draw(20) ? &message : NULL;
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
    state = strtoul(argv[2], NULL, 10) * 2 + 1;
    client_load(argv[1]);
    OK(p11->C_Initialize(NULL));
    for (int i = 0; i < SESSIONS; i++)
        sessions[i] = client_session(0);
    for (size_t i = 0; i < sizeof(data); i++)
        data[i] = (CK_BYTE)draw(256);
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
