/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Certificates as objects of the PKCS#11 module.
 *   pkcs11_certificate MODULE COMMAND [COUNT]      prints what it saw; 0 unless something broke
 * The guest has the key "tls" (EC P-256), and a certificate of it.
 */
#define _GNU_SOURCE
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pkcs11_client.h"

#define VALUE_BYTES_MAX   4096
#define CERTIFICATES_ROOM 300

static CK_OBJECT_CLASS certificate_class = CKO_CERTIFICATE;

/* Into @found, which has CERTIFICATES_ROOM places; how many. */
static CK_ULONG find(CK_SESSION_HANDLE session, CK_ATTRIBUTE *wanted, CK_ULONG wanted_count, CK_OBJECT_HANDLE *found)
{
    CK_ULONG count;

    OK(p11->C_FindObjectsInit(session, wanted, wanted_count));
    OK(p11->C_FindObjects(session, found, CERTIFICATES_ROOM, &count));
    OK(p11->C_FindObjectsFinal(session));
    return count;
}

static CK_ULONG find_certificates(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE *found)
{
    CK_ATTRIBUTE wanted = {CKA_CLASS, &certificate_class, sizeof(certificate_class)};

    return find(session, &wanted, 1, found);
}

static CK_ULONG get(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_BYTE *value)
{
    CK_ATTRIBUTE attribute = {type, NULL, 0};
    CK_ULONG size;

    OK(p11->C_GetAttributeValue(session, object, &attribute, 1));
    size = attribute.ulValueLen;
    if (size > VALUE_BYTES_MAX)
        client_die("a value is too large");
    attribute = (CK_ATTRIBUTE){type, value, size};
    OK(p11->C_GetAttributeValue(session, object, &attribute, 1));
    client_expect("size", attribute.ulValueLen, size);
    if (size) {
        attribute.ulValueLen = size - 1;
        EXPECT(p11->C_GetAttributeValue(session, object, &attribute, 1), CKR_BUFFER_TOO_SMALL);
        client_expect("no size", attribute.ulValueLen, CK_UNAVAILABLE_INFORMATION);
    }
    return size;
}

static const struct {
    const char *name;
    CK_ATTRIBUTE_TYPE type;
} shown[] = {
    {"label", CKA_LABEL},
    {"id", CKA_ID},
    {"type", CKA_CERTIFICATE_TYPE},
    {"category", CKA_CERTIFICATE_CATEGORY},
    {"from", CKA_START_DATE},
    {"until", CKA_END_DATE},
    {"token", CKA_TOKEN},
    {"private", CKA_PRIVATE},
    {"modifiable", CKA_MODIFIABLE},
    {"copyable", CKA_COPYABLE},
    {"destroyable", CKA_DESTROYABLE},
    {"trusted", CKA_TRUSTED},
    {"url", CKA_URL},
    {"subject", CKA_SUBJECT},
    {"issuer", CKA_ISSUER},
    {"serial", CKA_SERIAL_NUMBER},
    {"public", CKA_PUBLIC_KEY_INFO},
    {"value", CKA_VALUE},
};

/* What is looked for with a value is found by it, and not by another one. */
static void check_found_by(CK_SESSION_HANDLE session, CK_OBJECT_HANDLE object, CK_ATTRIBUTE_TYPE type, CK_BYTE *value,
                           CK_ULONG size)
{
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &certificate_class, sizeof(certificate_class)}, {type, value, size}};
    CK_OBJECT_HANDLE found[CERTIFICATES_ROOM];

    for (CK_ULONG skipped = 0; skipped < 2; skipped++) {
        CK_ULONG at = 0, count = find(session, wanted + skipped, 2 - skipped, found);

        while (at < count && found[at] != object)
            at++;
        if (at == count)
            client_die("not found by what it has");
    }
    if (!size)
        return;
    value[size - 1] ^= 1;
    for (CK_ULONG i = 0, count = find(session, wanted, 2, found); i < count; i++)
        if (found[i] == object)
            client_die("found by what it has not");
    value[size - 1] ^= 1;
}

/* All attributes of each, in hexadecimal. */
static void show(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE found[CERTIFICATES_ROOM];
    CK_ULONG certificates = find_certificates(session, found);

    for (CK_ULONG i = 0; i < certificates; i++) {
        for (size_t j = 0; j < sizeof(shown) / sizeof(shown[0]); j++) {
            CK_BYTE value[VALUE_BYTES_MAX];
            CK_ULONG size = get(session, found[i], shown[j].type, value);

            printf("%s%s=", j ? " " : "", shown[j].name);
            for (CK_ULONG at = 0; at < size; at++)
                printf("%02x", value[at]);
            check_found_by(session, found[i], shown[j].type, value, size);
        }
        puts("");
    }
}

/* What nobody does with a certificate. */
static void refusals(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(CKF_RW_SESSION);
    CK_OBJECT_HANDLE found[CERTIFICATES_ROOM], made, none = 1000 << 2;
    CK_MECHANISM ecdsa = {CKM_ECDSA_SHA256, NULL, 0};
    CK_ATTRIBUTE wanted[] = {{CKA_CLASS, &certificate_class, sizeof(certificate_class)}, {CKA_VALUE, &made, 1}};
    CK_ATTRIBUTE other[] = {{CKA_CHECK_VALUE, NULL, 0}, {CKA_KEY_TYPE, NULL, 0}, {CKA_CLASS, NULL, 0}};
    CK_ULONG size;

    if (!find_certificates(session, found))
        client_die("no certificate");
    EXPECT(p11->C_SignInit(session, &ecdsa, found[0]), CKR_KEY_HANDLE_INVALID);
    EXPECT(p11->C_VerifyInit(session, &ecdsa, found[0]), CKR_KEY_HANDLE_INVALID);
    EXPECT(p11->C_DestroyObject(session, found[0]), CKR_ACTION_PROHIBITED);
    EXPECT(p11->C_SetAttributeValue(session, found[0], NULL, 0), CKR_ACTION_PROHIBITED);
    EXPECT(p11->C_CopyObject(session, found[0], NULL, 0, &made), CKR_ACTION_PROHIBITED);
    EXPECT(p11->C_CreateObject(session, wanted, 2, &made), CKR_ACTION_PROHIBITED);
    OK(p11->C_GetObjectSize(session, found[0], &size));
    client_expect("size", size, CK_UNAVAILABLE_INFORMATION);
    EXPECT(p11->C_GetAttributeValue(session, found[0], other, 3), CKR_ATTRIBUTE_TYPE_INVALID);
    client_expect("no check value", other[0].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    client_expect("no key type", other[1].ulValueLen, CK_UNAVAILABLE_INFORMATION);
    client_expect("its class", other[2].ulValueLen, sizeof(CK_OBJECT_CLASS));
    EXPECT(p11->C_DestroyObject(session, none), CKR_OBJECT_HANDLE_INVALID);
    EXPECT(p11->C_SetAttributeValue(session, none, NULL, 0), CKR_OBJECT_HANDLE_INVALID);
    EXPECT(p11->C_GetObjectSize(session, none, &size), CKR_OBJECT_HANDLE_INVALID);
    EXPECT(p11->C_GetAttributeValue(session, none, other + 2, 1), CKR_OBJECT_HANDLE_INVALID);
    EXPECT(p11->C_GetObjectSize(session, 0, &size), CKR_OBJECT_HANDLE_INVALID);
    client_say("refused");
}

/* The certificate of a key is replaced while this looks on: another object, until then the same one. */
static void renewal(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE before = client_find(session, CKO_CERTIFICATE, "tls"), after;
    CK_BYTE value[VALUE_BYTES_MAX];

    if (before == CK_INVALID_HANDLE)
        client_die("no certificate");
    client_say("there");
    client_wait();
    do
        after = client_find(session, CKO_CERTIFICATE, "tls");
    while (after == before);
    if (after == CK_INVALID_HANDLE)
        client_die("none while it is replaced");
    EXPECT(p11->C_GetAttributeValue(session, before, NULL, 0), CKR_OBJECT_HANDLE_INVALID);
    client_expect("found", client_find(session, CKO_CERTIFICATE, "tls"), after);
    if (!get(session, after, CKA_VALUE, value))
        client_die("no value");
    client_say("renewed");
}

/* The key is rotated: its certificate is none of it any more, and stays the same object. */
static void rotation(unsigned int count)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE certificate = client_find(session, CKO_CERTIFICATE, "tls");
    CK_BYTE label[VALUE_BYTES_MAX];

    if (certificate == CK_INVALID_HANDLE)
        client_die("no certificate");
    client_say("there");
    client_wait();
    while (client_find(session, CKO_CERTIFICATE, "tls") != CK_INVALID_HANDLE)
        ;
    client_expect("of its file", client_find(session, CKO_CERTIFICATE, "file"), certificate);
    client_expect("label", get(session, certificate, CKA_LABEL, label), 4);
    client_say("rotated");
}

static void *look_on(void *argument)
{
    CK_SESSION_HANDLE session = client_session(0);
    CK_OBJECT_HANDLE found[CERTIFICATES_ROOM];

    while (!atomic_load((atomic_int *)argument)) {
        CK_ULONG count = find_certificates(session, found);

        for (CK_ULONG i = 0; i < count; i++) {
            CK_BYTE value[VALUE_BYTES_MAX];
            CK_ATTRIBUTE wanted[] = {{CKA_VALUE, value, sizeof(value)}, {CKA_ID, value, sizeof(value)}};
            CK_RV rv = p11->C_GetAttributeValue(session, found[i], wanted, 2);

            if (rv != CKR_OBJECT_HANDLE_INVALID)
                OK(rv);
        }
    }
    OK(p11->C_CloseSession(session));
    return NULL;
}

/* Threads look on until the test says so, however files and keys come and go. */
static void threads(unsigned int count)
{
    pthread_t all[16];
    atomic_int is_end = 0;

    for (unsigned int i = 0; i < count; i++)
        if (pthread_create(&all[i], NULL, look_on, &is_end))
            client_die("no thread");
    client_say("looking");
    client_wait();
    atomic_store(&is_end, 1);
    for (unsigned int i = 0; i < count; i++)
        pthread_join(all[i], NULL);
    client_say("done");
}

static const struct client_command commands[] = {
    {"show", show},         {"refusals", refusals}, {"renewal", renewal},
    {"rotation", rotation}, {"threads", threads},   {NULL, NULL},
};

int main(int argc, char **argv)
{
    return client_main(argc, argv, commands);
}
