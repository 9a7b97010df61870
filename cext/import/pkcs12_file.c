/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of a PKCS#12 file to key material and certificates. Knows the format; must not know offers. */
#include "pkcs12_file.h"

#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/pkcs12.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <string.h>

#include "failure.h"
#include "secret_arena.h"

enum {
    ITERATIONS_MAX = 10 * 1000 * 1000, /* a file must not make the program endless */
    CHAIN_MAX = 10,
};

/* What a file is made of: for the whole way through it. */
struct pkcs12 {
    PKCS12 *file;
    EVP_PKEY *pkey;
    STACK_OF(X509) * certificates; /* of the file, in any order */
};

static int check_mac(const char *path, const PKCS12 *file)
{
    const ASN1_INTEGER *iterations = NULL;
    const X509_ALGOR *algorithm = NULL;
    const ASN1_OBJECT *name = NULL;
    int64_t count = 1;

    if (PKCS12_mac_present(file) != 1)
        return vks_import_fail(VKS_IMPORT_NO_KEY, "make it anew without -nomac",
                               "%s has no mac: nobody can tell whether it was changed", path);
    PKCS12_get0_mac(NULL, &algorithm, NULL, &iterations, file);
    X509_ALGOR_get0(&name, NULL, NULL, algorithm);
    if (EVP_get_digestbyobj(name) == NULL)
        return vks_import_fail(VKS_IMPORT_NO_KEY, "make it anew: openssl pkcs12 -export -macalg sha256",
                               "%s has a mac of a kind that is not supported", path);
    if (iterations && (ASN1_INTEGER_get_int64(&count, iterations) != 1 || count < 1 || count > ITERATIONS_MAX))
        return vks_import_fail(VKS_IMPORT_NO_KEY, NULL, "%s asks for more than %d iterations, or for none", path,
                               (int)ITERATIONS_MAX);
    return 0;
}

/* None where the file takes none; *passphrase* is for vks_secret_free. */
static int find_passphrase(const struct vks_import_arguments *arguments, PKCS12 *file,
                           struct vks_secret_input *passphrase)
{
    int code;

    *passphrase = (struct vks_secret_input){NULL, 0};
    if (PKCS12_verify_mac(file, NULL, 0) == 1 || PKCS12_verify_mac(file, "", 0) == 1)
        return 0;
    code = vks_secret_input_passphrase(arguments, passphrase);
    if (code)
        return code;
    if (memchr(passphrase->bytes, 0, passphrase->size_bytes))
        return vks_import_fail(VKS_IMPORT_PASSPHRASE, NULL, "the passphrase has a zero byte, which pkcs#12 cannot");
    ERR_clear_error();
    if (PKCS12_verify_mac(file, (const char *)passphrase->bytes, (int)passphrase->size_bytes) == 1)
        return 0;
    return vks_import_fail(VKS_IMPORT_PASSPHRASE, NULL, "wrong passphrase for %s", arguments->path);
}

/* The mac was right, so the passphrase is: what fails now is what the file consists of. */
static int content_failure(const char *path)
{
    unsigned long error;

    while ((error = ERR_get_error()) != 0) {
        int reason = ERR_GET_REASON(error);

        if (reason == ERR_R_MALLOC_FAILURE ||
            (ERR_GET_LIB(error) == ERR_LIB_EVP && reason == EVP_R_MEMORY_LIMIT_EXCEEDED))
            return vks_import_fail(VKS_IMPORT_NO_KEY, "raise the limit on locked memory (ulimit -l)",
                                   "%s is encrypted in a way that takes more secret memory than there is", path);
        if (reason == ERR_R_UNSUPPORTED || (ERR_GET_LIB(error) == ERR_LIB_EVP &&
                                            (reason == EVP_R_UNKNOWN_PBE_ALGORITHM ||
                                             reason == EVP_R_UNSUPPORTED_CIPHER || reason == EVP_R_UNKNOWN_CIPHER)))
            return vks_import_fail(
                VKS_IMPORT_NO_KEY,
                "make it anew: openssl pkcs12 -legacy -in OLD -noenc | openssl pkcs12 -export -out NEW",
                "%s is encrypted with an algorithm that is not supported, such as RC2", path);
    }
    return vks_import_fail(VKS_IMPORT_NO_KEY, NULL, "%s is damaged, or holds a key of an unknown kind", path);
}

static int unpack(const struct vks_import_arguments *arguments, struct pkcs12 *unpacked)
{
    struct vks_secret_input passphrase;
    X509 *own = NULL;
    int code = find_passphrase(arguments, unpacked->file, &passphrase);

    ERR_clear_error();
    if (code == 0 && PKCS12_parse(unpacked->file, passphrase.bytes ? (const char *)passphrase.bytes : "",
                                  &unpacked->pkey, &own, &unpacked->certificates) != 1)
        code = content_failure(arguments->path);
    vks_secret_free(passphrase.bytes);
    if (own && unpacked->certificates == NULL)
        unpacked->certificates = sk_X509_new_null();
    if (own && (unpacked->certificates == NULL || sk_X509_unshift(unpacked->certificates, own) <= 0)) {
        X509_free(own);
        code = code ? code : vks_import_fail(VKS_IMPORT_INTERNAL, NULL, "out of secret memory");
    }
    if (code == 0 && unpacked->pkey == NULL)
        code = vks_import_fail(VKS_IMPORT_NO_KEY, NULL, "%s holds no private key", arguments->path);
    return code;
}

static X509 *certificate_of(STACK_OF(X509) * certificates, EVP_PKEY *pkey)
{
    for (int i = 0; i < sk_X509_num(certificates); i++)
        if (X509_check_private_key(sk_X509_value(certificates, i), pkey) == 1)
            return sk_X509_value(certificates, i);
    return NULL;
}

static X509 *issuer_of(STACK_OF(X509) * certificates, X509 *certificate)
{
    if (X509_NAME_cmp(X509_get_subject_name(certificate), X509_get_issuer_name(certificate)) == 0)
        return NULL;
    for (int i = 0; i < sk_X509_num(certificates); i++)
        if (X509_check_issued(sk_X509_value(certificates, i), certificate) == X509_V_OK)
            return sk_X509_value(certificates, i);
    return NULL;
}

/* Two that issued each other would go on for ever: the length ends it. */
static int write_chain(const struct pkcs12 *unpacked, BIO *pem)
{
    X509 *certificate = certificate_of(unpacked->certificates, unpacked->pkey);

    for (int i = 0; certificate && i < CHAIN_MAX; i++) {
        if (PEM_write_bio_X509(pem, certificate) != 1)
            return vks_import_fail(VKS_IMPORT_INTERNAL, NULL, "out of secret memory");
        certificate = issuer_of(unpacked->certificates, certificate);
    }
    return 0;
}

int vks_pkcs12_parse(const struct vks_import_arguments *arguments, const struct vks_secret_input *file,
                     struct vks_key_file *key, BIO *certificates)
{
    const uint8_t *cursor = file->bytes;
    struct pkcs12 unpacked = {d2i_PKCS12(NULL, &cursor, (long)file->size_bytes), NULL, NULL};
    int code;

    *key = (struct vks_key_file){NULL, NULL, 0};
    if (unpacked.file == NULL || cursor != file->bytes + file->size_bytes)
        code = vks_import_fail(VKS_IMPORT_NO_KEY, "other files are imported without --pkcs12", "%s is no pkcs#12 file",
                               arguments->path);
    else
        code = check_mac(arguments->path, unpacked.file);
    if (code == 0)
        code = unpack(arguments, &unpacked);
    if (code == 0)
        code = vks_key_file_take(arguments, unpacked.pkey, key);
    if (code == 0)
        code = write_chain(&unpacked, certificates);
    sk_X509_pop_free(unpacked.certificates, X509_free);
    EVP_PKEY_free(unpacked.pkey);
    PKCS12_free(unpacked.file);
    ERR_clear_error();
    return code;
}
