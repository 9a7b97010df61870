/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One operation by the PKCS#11 module: data on stdin, result on stdout.
 *   pkcs11_operation MODULE COMMAND MECHANISM LABEL [FILE]
 * Nonces, IVs and tweaks are zero, associated data is "aad", OAEP's label "label". A failure: 1, and on stderr the call
 * with what it returned.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11_client.h"

#define DATA_BYTES_MAX (2u << 20)

static CK_BYTE zero[16], aad[] = "aad", oaep_label[] = "label";
static CK_RSA_PKCS_PSS_PARAMS pss_256 = {CKM_SHA256, CKG_MGF1_SHA256, 32};
static CK_RSA_PKCS_PSS_PARAMS pss_384 = {CKM_SHA384, CKG_MGF1_SHA384, 48};
static CK_RSA_PKCS_PSS_PARAMS pss_512 = {CKM_SHA512, CKG_MGF1_SHA512, 64};
static CK_RSA_PKCS_OAEP_PARAMS oaep = {CKM_SHA256, CKG_MGF1_SHA256, CKZ_DATA_SPECIFIED, oaep_label, 5};
static CK_GCM_PARAMS gcm = {zero, 12, 96, aad, 3, 128};
static CK_SALSA20_CHACHA20_POLY1305_PARAMS chacha = {zero, 12, aad, 3};
static CK_AES_CTR_PARAMS ctr = {128, {0}};

static struct {
    const char *name;
    CK_MECHANISM mechanism;
} mechanisms[] = {
    {"ecdsa", {CKM_ECDSA, NULL, 0}},
    {"ecdsa-sha256", {CKM_ECDSA_SHA256, NULL, 0}},
    {"ecdsa-sha384", {CKM_ECDSA_SHA384, NULL, 0}},
    {"ecdsa-sha512", {CKM_ECDSA_SHA512, NULL, 0}},
    {"eddsa", {CKM_EDDSA, NULL, 0}},
    {"rsa", {CKM_RSA_PKCS, NULL, 0}},
    {"rsa-sha256", {CKM_SHA256_RSA_PKCS, NULL, 0}},
    {"rsa-sha384", {CKM_SHA384_RSA_PKCS, NULL, 0}},
    {"rsa-sha512", {CKM_SHA512_RSA_PKCS, NULL, 0}},
    {"pss", {CKM_RSA_PKCS_PSS, &pss_256, sizeof(pss_256)}},
    {"pss-sha256", {CKM_SHA256_RSA_PKCS_PSS, &pss_256, sizeof(pss_256)}},
    {"pss-sha384", {CKM_SHA384_RSA_PKCS_PSS, &pss_384, sizeof(pss_384)}},
    {"pss-sha512", {CKM_SHA512_RSA_PKCS_PSS, &pss_512, sizeof(pss_512)}},
    {"hmac-sha256", {CKM_SHA256_HMAC, NULL, 0}},
    {"hmac-sha384", {CKM_SHA384_HMAC, NULL, 0}},
    {"hmac-sha512", {CKM_SHA512_HMAC, NULL, 0}},
    {"cmac", {CKM_AES_CMAC, NULL, 0}},
    {"ml-dsa", {CKM_ML_DSA, NULL, 0}},
    {"oaep", {CKM_RSA_PKCS_OAEP, &oaep, sizeof(oaep)}},
    {"gcm", {CKM_AES_GCM, &gcm, sizeof(gcm)}},
    {"chacha", {CKM_CHACHA20_POLY1305, &chacha, sizeof(chacha)}},
    {"cbc", {CKM_AES_CBC, zero, 16}},
    {"ctr", {CKM_AES_CTR, &ctr, sizeof(ctr)}},
    {"xts", {CKM_AES_XTS, zero, 16}},
    {"kw", {CKM_AES_KEY_WRAP, NULL, 0}},
    {"kwp", {CKM_AES_KEY_WRAP_KWP, NULL, 0}},
    {"ecdh", {CKM_ECDH1_DERIVE, NULL, 0}},
    {"hkdf", {CKM_HKDF_DERIVE, NULL, 0}},
    {"ml-kem", {CKM_ML_KEM, NULL, 0}},
};

static CK_BYTE input[DATA_BYTES_MAX], output[DATA_BYTES_MAX];
static CK_ULONG input_size, output_size = sizeof(output);
static CK_SESSION_HANDLE session;
static CK_MECHANISM *mechanism;
static const char *name, *label, *file;

static void do_sign(void)
{
    OK(p11->C_SignInit(session, mechanism, client_key(session, label)));
    OK(p11->C_Sign(session, input, input_size, output, &output_size));
}

/* In pieces that grow. */
static void do_sign_parts(void)
{
    CK_ULONG at = 0, piece = 1;

    OK(p11->C_SignInit(session, mechanism, client_key(session, label)));
    for (; at < input_size; at += piece, piece = 2 * piece < input_size - at ? 2 * piece : input_size - at)
        OK(p11->C_SignUpdate(session, input + at, piece));
    OK(p11->C_SignFinal(session, output, &output_size));
}

static void do_verify(void)
{
    CK_ULONG size = client_read(file, output, sizeof(output));

    OK(p11->C_VerifyInit(session, mechanism, client_public(session, label)));
    OK(p11->C_Verify(session, input, input_size, output, size));
    OK(p11->C_VerifyInit(session, mechanism, client_public(session, label)));
    OK(p11->C_VerifyUpdate(session, input, input_size / 2));
    OK(p11->C_VerifyUpdate(session, input + input_size / 2, input_size - input_size / 2));
    OK(p11->C_VerifyFinal(session, output, size));
    output[size / 2] ^= 1;
    OK(p11->C_VerifyInit(session, mechanism, client_public(session, label)));
    EXPECT(p11->C_Verify(session, input, input_size, output, size), CKR_SIGNATURE_INVALID);
    OK(p11->C_VerifyInit(session, mechanism, client_public(session, label)));
    EXPECT(p11->C_Verify(session, input, input_size, output, size - 1), CKR_SIGNATURE_LEN_RANGE);
    output_size = 0;
}

static void do_encrypt(void)
{
    OK(p11->C_EncryptInit(session, mechanism, client_public(session, label)));
    OK(p11->C_Encrypt(session, input, input_size, output, &output_size));
}

static void do_decrypt(void)
{
    CK_ULONG size = 0;

    OK(p11->C_DecryptInit(session, mechanism, client_key(session, label)));
    OK(p11->C_Decrypt(session, input, input_size, NULL, &size));
    /* Parts, and all at once. */
    OK(p11->C_DecryptUpdate(session, input, input_size / 2, output, &output_size));
    OK(p11->C_DecryptUpdate(session, input + input_size / 2, input_size - input_size / 2, output, &output_size));
    output_size = size;
    OK(p11->C_DecryptFinal(session, output, &output_size));
    OK(p11->C_DecryptInit(session, mechanism, client_key(session, label)));
    output_size = size;
    OK(p11->C_Decrypt(session, input, input_size, output, &output_size));
}

/* As the device has it: nonce, ciphertext, tag. */
static void do_seal(void)
{
    CK_GCM_MESSAGE_PARAMS message = {output, 12, 0, CKG_GENERATE, output + 12 + input_size, 128};
    CK_SALSA20_CHACHA20_POLY1305_MSG_PARAMS other = {output, 12, output + 12 + input_size};
    int is_gcm = mechanism->mechanism == CKM_AES_GCM;
    CK_MECHANISM plain = {mechanism->mechanism, NULL, 0};

    OK(p11->C_MessageEncryptInit(session, &plain, client_key(session, label)));
    /* One key, many messages. */
    for (int i = 0; i < 3; i++) {
        output_size = input_size;
        OK(p11->C_EncryptMessage(session, is_gcm ? (void *)&message : &other, is_gcm ? sizeof(message) : sizeof(other),
                                 aad, 3, input, input_size, output + 12, &output_size));
    }
    OK(p11->C_MessageEncryptFinal(session));
    output_size += 12 + 16;
}

static void do_open(void)
{
    CK_GCM_MESSAGE_PARAMS message = {input, 12, 0, CKG_NO_GENERATE, input + input_size - 16, 128};
    CK_MECHANISM plain = {mechanism->mechanism, NULL, 0};

    OK(p11->C_MessageDecryptInit(session, &plain, client_key(session, label)));
    output_size = input_size;
    OK(p11->C_DecryptMessage(session, &message, sizeof(message), aad, 3, input + 12, input_size - 28, output,
                             &output_size));
    input[12] ^= 1;
    EXPECT(p11->C_DecryptMessage(session, &message, sizeof(message), aad, 3, input + 12, input_size - 28, input,
                                 &input_size),
           CKR_AEAD_DECRYPT_FAILED);
    OK(p11->C_MessageDecryptFinal(session));
}

/* The same message in three parts, none of which gives anything before the last. */
static void do_seal_parts(void)
{
    CK_GCM_MESSAGE_PARAMS message = {output, 12, 0, CKG_GENERATE, output + 12 + input_size, 128};
    CK_MECHANISM plain = {mechanism->mechanism, NULL, 0};
    CK_ULONG part = input_size / 3, size = sizeof(output);

    OK(p11->C_MessageEncryptInit(session, &plain, client_key(session, label)));
    EXPECT(p11->C_EncryptMessageNext(session, &message, sizeof(message), input, part, output, &size, 0),
           CKR_OPERATION_NOT_INITIALIZED);
    /* What was begun and never ended is forgotten with an error, and the operation goes on. */
    OK(p11->C_EncryptMessageBegin(session, &message, sizeof(message), (CK_BYTE *)"other", 5));
    EXPECT(p11->C_EncryptMessageNext(session, &message, sizeof(message), input, part, output, &size, 2),
           CKR_ARGUMENTS_BAD);
    for (int i = 0; i < 2; i++) {
        OK(p11->C_EncryptMessageBegin(session, &message, sizeof(message), aad, 3));
        EXPECT(p11->C_EncryptMessageBegin(session, &message, sizeof(message), aad, 3), CKR_OPERATION_ACTIVE);
        EXPECT(p11->C_EncryptMessage(session, &message, sizeof(message), aad, 3, input, part, output, &size),
               CKR_OPERATION_ACTIVE);
        OK(p11->C_EncryptMessageNext(session, &message, sizeof(message), input, part, NULL, &size, 0));
        EXPECT(size, 0);
        size = sizeof(output);
        OK(p11->C_EncryptMessageNext(session, &message, sizeof(message), input, part, output + 12, &size, 0));
        EXPECT(size, 0);
        OK(p11->C_EncryptMessageNext(session, &message, sizeof(message), input + part, part, output + 12, &size, 0));
        OK(p11->C_EncryptMessageNext(session, &message, sizeof(message), input + 2 * part, input_size - 2 * part, NULL,
                                     &size, CKF_END_OF_MESSAGE));
        EXPECT(size, input_size);
        size--;
        EXPECT(p11->C_EncryptMessageNext(session, &message, sizeof(message), input + 2 * part, input_size - 2 * part,
                                         output + 12, &size, CKF_END_OF_MESSAGE),
               CKR_BUFFER_TOO_SMALL);
        OK(p11->C_EncryptMessageNext(session, &message, sizeof(message), input + 2 * part, input_size - 2 * part,
                                     output + 12, &size, CKF_END_OF_MESSAGE));
        EXPECT(size, input_size);
    }
    OK(p11->C_MessageEncryptFinal(session));
    output_size = input_size + 12 + 16;
}

static void do_open_parts(void)
{
    CK_GCM_MESSAGE_PARAMS message = {input, 12, 0, CKG_NO_GENERATE, input + input_size - 16, 128};
    CK_MECHANISM plain = {mechanism->mechanism, NULL, 0};
    CK_ULONG sealed = input_size - 28, size = 0;

    OK(p11->C_MessageDecryptInit(session, &plain, client_key(session, label)));
    OK(p11->C_DecryptMessageBegin(session, &message, sizeof(message), aad, 3));
    OK(p11->C_DecryptMessageNext(session, &message, sizeof(message), input + 12, 1, output, &size, 0));
    size = sizeof(output);
    OK(p11->C_DecryptMessageNext(session, &message, sizeof(message), input + 13, sealed - 1, output, &size,
                                 CKF_END_OF_MESSAGE));
    output_size = size;
    /* Nothing of a message that somebody changed is given. */
    OK(p11->C_DecryptMessageBegin(session, &message, sizeof(message), aad, 2));
    size = input_size;
    EXPECT(p11->C_DecryptMessageNext(session, &message, sizeof(message), input + 12, sealed, input, &size,
                                     CKF_END_OF_MESSAGE),
           CKR_AEAD_DECRYPT_FAILED);
    EXPECT(p11->C_DecryptMessageNext(session, &message, sizeof(message), input + 12, sealed, input, &size,
                                     CKF_END_OF_MESSAGE),
           CKR_OPERATION_NOT_INITIALIZED);
    OK(p11->C_MessageDecryptFinal(session));
}

/* The value of a session secret. */
static void give_secret(CK_OBJECT_HANDLE secret)
{
    CK_ATTRIBUTE value = {CKA_VALUE, output, sizeof(output)};

    OK(p11->C_GetAttributeValue(session, secret, &value, 1));
    output_size = value.ulValueLen;
    OK(p11->C_DestroyObject(session, secret));
    EXPECT(p11->C_GetAttributeValue(session, secret, &value, 1), CKR_OBJECT_HANDLE_INVALID);
}

/* stdin: the peer's point, or HKDF's info. */
static void do_derive(void)
{
    CK_ECDH1_DERIVE_PARAMS ecdh = {CKD_NULL, 0, NULL, input_size, input};
    CK_HKDF_PARAMS hkdf = {CK_TRUE, CK_TRUE, CKM_SHA256, CKF_HKDF_SALT_DATA, aad, 3, 0, input, input_size};
    CK_ULONG size = 48;
    CK_ATTRIBUTE attributes[] = {{CKA_VALUE_LEN, &size, sizeof(size)}};
    int is_ecdh = mechanism->mechanism == CKM_ECDH1_DERIVE;
    CK_MECHANISM given = {mechanism->mechanism, is_ecdh ? (void *)&ecdh : &hkdf, is_ecdh ? sizeof(ecdh) : sizeof(hkdf)};
    CK_OBJECT_HANDLE secret;

    OK(p11->C_DeriveKey(session, &given, client_key(session, label), attributes, is_ecdh ? 0 : 1, &secret));
    give_secret(secret);
}

static void do_decapsulate(void)
{
    CK_OBJECT_HANDLE secret;

    OK(p11->C_DecapsulateKey(session, mechanism, client_key(session, label), NULL, 0, input, input_size, &secret));
    give_secret(secret);
}

/* stdin is wrapped as a session secret, and comes back. */
static void do_wrap(void)
{
    CK_ULONG class = CKO_SECRET_KEY, type = CKK_GENERIC_SECRET;
    CK_ATTRIBUTE attributes[] = {
        {CKA_CLASS, &class, sizeof(class)}, {CKA_KEY_TYPE, &type, sizeof(type)}, {CKA_VALUE, input, input_size}};
    CK_OBJECT_HANDLE secret, again, key = client_key(session, label);

    OK(p11->C_CreateObject(session, attributes, 3, &secret));
    OK(p11->C_WrapKey(session, mechanism, client_public(session, label), secret, output, &output_size));
    EXPECT(p11->C_WrapKey(session, mechanism, client_public(session, label), key, output, &output_size),
           CKR_KEY_UNEXTRACTABLE);
    OK(p11->C_UnwrapKey(session, mechanism, key, output, output_size, attributes, 2, &again));
    output[output_size / 2] ^= 1;
    EXPECT(p11->C_UnwrapKey(session, mechanism, key, output, output_size, attributes, 2, &again),
           CKR_WRAPPED_KEY_INVALID);
    give_secret(again);
}

/* The mechanism's place is the attribute's, in hex. */
static void do_attribute(void)
{
    CK_ATTRIBUTE attribute = {strtoul(name, NULL, 16), output, sizeof(output)};

    OK(p11->C_GetAttributeValue(session, client_public(session, label), &attribute, 1));
    output_size = attribute.ulValueLen;
}

static void do_random(void)
{
    output_size = 100000;
    OK(p11->C_GenerateRandom(session, output, output_size));
}

static const struct {
    const char *name;
    void (*run)(void);
} commands[] = {
    {"sign", do_sign},
    {"sign-parts", do_sign_parts},
    {"verify", do_verify},
    {"encrypt", do_encrypt},
    {"decrypt", do_decrypt},
    {"seal", do_seal},
    {"open", do_open},
    {"seal-parts", do_seal_parts},
    {"open-parts", do_open_parts},
    {"derive", do_derive},
    {"wrap", do_wrap},
    {"decapsulate", do_decapsulate},
    {"random", do_random},
    {"attribute", do_attribute},
};

int main(int argc, char **argv)
{
    void (*run)(void) = NULL;

    if (argc < 5)
        client_die("MODULE COMMAND MECHANISM LABEL [FILE]");
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++)
        if (strcmp(argv[2], commands[i].name) == 0)
            run = commands[i].run;
    for (size_t i = 0; i < sizeof(mechanisms) / sizeof(mechanisms[0]); i++)
        if (strcmp(argv[3], mechanisms[i].name) == 0)
            mechanism = &mechanisms[i].mechanism;
    name = argv[3];
    if (!run || (!mechanism && run != do_random && run != do_attribute))
        client_die("no such command or mechanism");
    label = argv[4];
    file = argv[5];
    client_load(argv[1]);
    OK(p11->C_Initialize(NULL));
    session = client_session(0);
    input_size = client_read(NULL, input, sizeof(input));
    run();
    client_write(output, output_size);
    OK(p11->C_Finalize(NULL));
    return 0;
}
