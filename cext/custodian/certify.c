/* SPDX-License-Identifier: Apache-2.0 */
/* Building and signing. Knows X.509; must not know who asks, or whether the key's state allows it. */
#include "certify.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/x509.h>
#include <stdbool.h>
#include <string.h>

#include "certify_fields.h"
#include "key_kind.h"
#include "key_material.h"
#include "seal.h"
#include "secret_arena.h"
#include "vmm_keystore.h"

enum {
    SERIAL_BYTES = 16,
    TIME_CHARACTERS = 15,
};

/* The bits of KeyUsage (RFC 5280, 4.2.1.3) as ASN.1 counts them. */
enum key_usage {
    DIGITAL_SIGNATURE = 0,
    KEY_CERT_SIGN = 5,
    CRL_SIGN = 6,
};

/* As strong as the key; NULL: Ed25519 has its own. */
static const EVP_MD *digest_of(const struct vks_key_kind *kind)
{
    if (kind->family == VKS_KEY_FAMILY_ED25519)
        return NULL;
    return kind->type == VKS_KEY_TYPE_EC_P384 ? EVP_sha384() : EVP_sha256();
}

/* An empty subject makes the alternative names critical (RFC 5280, 4.2.1.6). */
static bool names_are_critical(const struct vks_certify_fields *fields)
{
    return X509_NAME_entry_count(fields->subject) == 0;
}

static int add_request_extensions(X509_REQ *request, const struct vks_certify_fields *fields)
{
    STACK_OF(X509_EXTENSION) *extensions = NULL;
    int done;

    if (sk_GENERAL_NAME_num(fields->alternatives) == 0)
        return 1;
    done = X509V3_add1_i2d(&extensions, NID_subject_alt_name, fields->alternatives, names_are_critical(fields),
                           X509V3_ADD_DEFAULT) == 1 &&
           X509_REQ_add_extensions(request, extensions) == 1;
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
    return done;
}

static int make_request(const struct vks_key_kind *kind, EVP_PKEY *pkey, const struct vks_certify_fields *fields,
                        uint8_t **der)
{
    X509_REQ *request = X509_REQ_new();
    int size = -1;

    if (request && X509_REQ_set_version(request, X509_REQ_VERSION_1) == 1 &&
        X509_REQ_set_subject_name(request, fields->subject) == 1 && X509_REQ_set_pubkey(request, pkey) == 1 &&
        add_request_extensions(request, fields) && X509_REQ_sign(request, pkey, digest_of(kind)) > 0)
        size = i2d_X509_REQ(request, der);
    X509_REQ_free(request);
    return size;
}

/* Random, positive, of a fixed length (RFC 5280, 4.1.2.2). */
static int set_serial(X509 *certificate)
{
    uint8_t serial[SERIAL_BYTES];
    BIGNUM *number = NULL;
    int done = 0;

    if (RAND_bytes(serial, sizeof(serial)) != 1)
        return 0;
    serial[0] = (serial[0] & 0x3f) | 0x40;
    number = BN_bin2bn(serial, sizeof(serial), NULL);
    if (number)
        done = BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;
    BN_free(number);
    return done;
}

static int add_constraints(X509 *certificate, bool is_ca)
{
    BASIC_CONSTRAINTS *constraints = BASIC_CONSTRAINTS_new();
    int done = 0;

    if (constraints) {
        constraints->ca = is_ca ? 0xff : 0;
        done = X509_add1_ext_i2d(certificate, NID_basic_constraints, constraints, 1, X509V3_ADD_DEFAULT) == 1;
    }
    BASIC_CONSTRAINTS_free(constraints);
    return done;
}

static int add_usage(X509 *certificate, bool is_ca)
{
    ASN1_BIT_STRING *usage = ASN1_BIT_STRING_new();
    int done = 0;

    if (usage && ASN1_BIT_STRING_set_bit(usage, is_ca ? KEY_CERT_SIGN : DIGITAL_SIGNATURE, 1) == 1 &&
        (!is_ca || ASN1_BIT_STRING_set_bit(usage, CRL_SIGN, 1) == 1))
        done = X509_add1_ext_i2d(certificate, NID_key_usage, usage, 1, X509V3_ADD_DEFAULT) == 1;
    ASN1_BIT_STRING_free(usage);
    return done;
}

/* A name for the public key, not a protection: the first method of RFC 5280, 4.2.1.2. */
static int add_key_id(X509 *certificate)
{
    ASN1_OCTET_STRING *text = ASN1_OCTET_STRING_new();
    uint8_t digest[EVP_MAX_MD_SIZE];
    unsigned int digest_bytes = 0;
    int done = 0;

    if (text && X509_pubkey_digest(certificate, EVP_sha1(), digest, &digest_bytes) == 1 &&
        ASN1_OCTET_STRING_set(text, digest, (int)digest_bytes) == 1)
        done = X509_add1_ext_i2d(certificate, NID_subject_key_identifier, text, 0, X509V3_ADD_DEFAULT) == 1;
    ASN1_OCTET_STRING_free(text);
    return done;
}

static int add_alternatives(X509 *certificate, const struct vks_certify_fields *fields)
{
    return sk_GENERAL_NAME_num(fields->alternatives) == 0 ||
           X509_add1_ext_i2d(certificate, NID_subject_alt_name, fields->alternatives, 0, X509V3_ADD_DEFAULT) == 1;
}

static int make_certificate(const struct vks_custodian_certify *wanted, const struct vks_key_kind *kind, EVP_PKEY *pkey,
                            const struct vks_certify_fields *fields, uint8_t **der)
{
    X509 *certificate = X509_new();
    bool is_ca = wanted->is_ca == 1;
    int size = -1;

    /* From text: what makes a date of seconds in libc opens the file of time zones. */
    if (certificate && X509_set_version(certificate, X509_VERSION_3) == 1 && set_serial(certificate) &&
        X509_set_subject_name(certificate, fields->subject) == 1 &&
        X509_set_issuer_name(certificate, fields->subject) == 1 && X509_set_pubkey(certificate, pkey) == 1 &&
        ASN1_TIME_set_string_X509(X509_getm_notBefore(certificate), wanted->not_before) == 1 &&
        ASN1_TIME_set_string_X509(X509_getm_notAfter(certificate), wanted->not_after) == 1 &&
        add_constraints(certificate, is_ca) && add_usage(certificate, is_ca) && add_key_id(certificate) &&
        add_alternatives(certificate, fields) && X509_sign(certificate, pkey, digest_of(kind)) > 0)
        size = i2d_X509(certificate, der);
    X509_free(certificate);
    return size;
}

static bool is_time(const char text[TIME_CHARACTERS + 1])
{
    for (int i = 0; i < TIME_CHARACTERS - 1; i++)
        if (text[i] < '0' || text[i] > '9')
            return false;
    return text[TIME_CHARACTERS - 1] == 'Z' && text[TIME_CHARACTERS] == '\0';
}

/* Whether the times go with the kind, and the names: a request may have a name of either sort, an issuer has a name. */
static int check(const struct vks_custodian_certify *wanted, const struct vks_certify_fields *fields)
{
    static const char none[sizeof(wanted->not_before)];
    bool named = X509_NAME_entry_count(fields->subject) > 0;

    switch (wanted->kind) {
    case VKS_CERTIFY_REQUEST:
        if (memcmp(wanted->not_before, none, sizeof(none)) != 0 || memcmp(wanted->not_after, none, sizeof(none)) != 0 ||
            wanted->is_ca)
            return -EINVAL;
        return named || sk_GENERAL_NAME_num(fields->alternatives) > 0 ? 0 : -EINVAL;
    case VKS_CERTIFY_SELF_SIGNED:
        if (!is_time(wanted->not_before) || !is_time(wanted->not_after) || wanted->is_ca > 1)
            return -EINVAL;
        return named && strcmp(wanted->not_before, wanted->not_after) < 0 ? 0 : -EINVAL;
    default:
        return -EINVAL;
    }
}

static int open_key(const struct vks_custodian_certify *wanted, const struct vks_key_kind *kind, const uint8_t *sealed,
                    EVP_PKEY **pkey)
{
    struct vks_seal_name name = {.version = wanted->version, .type = wanted->type};
    uint8_t *material;
    size_t material_bytes;
    int error;

    if (wanted->sealed_bytes <= VKS_SEAL_OVERHEAD || wanted->sealed_bytes > VKS_SEAL_BYTES_MAX)
        return -EBADMSG;
    material_bytes = wanted->sealed_bytes - VKS_SEAL_OVERHEAD;
    material = vks_secret_alloc(material_bytes);
    if (material == NULL)
        return -ENOMEM;
    memcpy(name.key_id, wanted->key_id, sizeof(name.key_id));
    error = vks_unseal(&name, sealed, wanted->sealed_bytes, material);
    if (!error)
        error = vks_key_material_parse(kind, material, material_bytes, pkey);
    vks_secret_free(material);
    return error;
}

int vks_certify(const struct vks_custodian_certify *wanted, const uint8_t *sealed, const uint8_t *fields, uint8_t **der,
                uint32_t *der_bytes)
{
    const struct vks_key_kind *kind = vks_key_kind_find(wanted->type);
    struct vks_certify_fields names = {NULL, NULL};
    EVP_PKEY *pkey = NULL;
    int size, error;

    *der = NULL;
    if (kind == NULL || !vks_key_kind_certifies(kind) || wanted->fields_bytes > VKS_CERTIFY_FIELDS_BYTES_MAX)
        return -EINVAL;
    error = vks_certify_fields_read(fields, wanted->fields_bytes, &names);
    if (!error)
        error = check(wanted, &names);
    if (!error)
        error = open_key(wanted, kind, sealed, &pkey);
    if (!error) {
        size = wanted->kind == VKS_CERTIFY_REQUEST ? make_request(kind, pkey, &names, der)
                                                   : make_certificate(wanted, kind, pkey, &names, der);
        *der_bytes = size > 0 ? (uint32_t)size : 0;
        error = size > 0 ? 0 : -EIO;
    }
    EVP_PKEY_free(pkey);
    vks_certify_fields_free(&names);
    ERR_clear_error();
    return error;
}
