/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Names for a certificate, as a keystored that has fallen might send them: whatever the bytes are, they are refused, or
 * become a request that libcrypto reads again with as many names.
 */
#include <errno.h>
#include <openssl/x509.h>
#include <stdlib.h>

#include "certify_fields.h"
#include "ipc.h"

static void check(int holds)
{
    if (!holds)
        abort();
}

/* The subject alone, read back from its encoding. */
static void check_subject(X509_NAME *subject)
{
    uint8_t *der = NULL;
    int size = i2d_X509_NAME(subject, &der);
    const uint8_t *cursor = der;
    X509_NAME *again;

    check(size > 0);
    again = d2i_X509_NAME(NULL, &cursor, size);
    check(again && cursor == der + size && X509_NAME_cmp(again, subject) == 0);
    X509_NAME_free(again);
    OPENSSL_free(der);
}

static void check_alternatives(GENERAL_NAMES *names)
{
    uint8_t *der = NULL;
    int size = i2d_GENERAL_NAMES(names, &der);
    const uint8_t *cursor = der;
    GENERAL_NAMES *again;

    check(size > 0);
    again = d2i_GENERAL_NAMES(NULL, &cursor, size);
    check(again && cursor == der + size && sk_GENERAL_NAME_num(again) == sk_GENERAL_NAME_num(names));
    GENERAL_NAMES_free(again);
    OPENSSL_free(der);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes);

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size_bytes)
{
    struct vks_certify_fields fields;
    int error = vks_certify_fields_read(bytes, size_bytes, &fields);

    check(error == 0 || error == -EPROTO || error == -EINVAL);
    if (error == 0) {
        check(X509_NAME_entry_count(fields.subject) <= VKS_CERTIFY_ATTRIBUTES_MAX);
        check(sk_GENERAL_NAME_num(fields.alternatives) <= VKS_CERTIFY_ALTERNATIVES_MAX);
        check_subject(fields.subject);
        check_alternatives(fields.alternatives);
    }
    vks_certify_fields_free(&fields);
    return 0;
}
