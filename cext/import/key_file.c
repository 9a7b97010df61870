/* SPDX-License-Identifier: Apache-2.0 */
/* From the bytes of a file to key material. Knows formats; must not know offers or descriptors. */
#include "key_file.h"

#include <errno.h>
#include <openssl/bio.h>
#include <openssl/decoder.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pkcs12.h>
#include <openssl/x509.h>
#include <string.h>

#include "algorithm.h"
#include "failure.h"
#include "key_material.h"
#include "secret_arena.h"
#include "vmm_keystore.h"

struct asker {
    const struct vks_import_arguments *arguments;
    struct vks_secret_input passphrase;
    int code; /* of asking; what it said is not to be said again */
    bool asked;
};

/* libcrypto's decoder asks once per layer that might be encrypted; the user is asked once. */
static int ask(char *buffer, size_t buffer_bytes, size_t *passphrase_bytes, const OSSL_PARAM params[], void *argument)
{
    struct asker *asker = argument;

    (void)params;
    if (!asker->asked)
        asker->code = vks_secret_input_passphrase(asker->arguments, &asker->passphrase);
    asker->asked = true;
    if (asker->code || asker->passphrase.size_bytes > buffer_bytes)
        return 0;
    memcpy(buffer, asker->passphrase.bytes, asker->passphrase.size_bytes);
    *passphrase_bytes = asker->passphrase.size_bytes;
    return 1;
}

static bool holds(const struct vks_secret_input *file, const char *text)
{
    return memmem(file->bytes, file->size_bytes, text, strlen(text)) != NULL;
}

static EVP_PKEY *decode(const struct vks_secret_input *file, const char *input, struct asker *asker)
{
    EVP_PKEY *pkey = NULL;
    BIO *bio = BIO_new_mem_buf(file->bytes, (int)file->size_bytes);
    OSSL_DECODER_CTX *context =
        OSSL_DECODER_CTX_new_for_pkey(&pkey, input, NULL, NULL, OSSL_KEYMGMT_SELECT_KEYPAIR, NULL, NULL);
    long at = -1;

    if (bio == NULL || context == NULL || OSSL_DECODER_CTX_set_passphrase_cb(context, ask, asker) != 1)
        goto out;
    /* A PEM file may hold other things before the key: parameters, a public key, certificates. */
    while (OSSL_DECODER_from_bio(context, bio) != 1 && pkey == NULL && !asker->asked && BIO_tell(bio) > at)
        at = BIO_tell(bio);
out:
    OSSL_DECODER_CTX_free(context);
    BIO_free(bio);
    return pkey;
}

/* The decoder does not mind which structure it meets; whoever named PKCS#8 does. */
static bool is_pkcs8(const struct vks_secret_input *file, bool pem)
{
    const uint8_t *cursor = file->bytes;
    PKCS8_PRIV_KEY_INFO *plain;
    X509_SIG *encrypted;
    bool is;

    if (pem)
        return holds(file, "-----BEGIN PRIVATE KEY-----") || holds(file, "-----BEGIN ENCRYPTED PRIVATE KEY-----");
    plain = d2i_PKCS8_PRIV_KEY_INFO(NULL, &cursor, (long)file->size_bytes);
    cursor = file->bytes;
    encrypted = d2i_X509_SIG(NULL, &cursor, (long)file->size_bytes);
    is = plain || encrypted;
    PKCS8_PRIV_KEY_INFO_free(plain);
    X509_SIG_free(encrypted);
    return is;
}

/* Why an encrypted file did not open. */
static int encrypted_failure(const char *path)
{
    unsigned long error;

    while ((error = ERR_get_error()) != 0) {
        bool evp = ERR_GET_LIB(error) == ERR_LIB_EVP;
        int reason = ERR_GET_REASON(error);

        if (reason == ERR_R_MALLOC_FAILURE || (evp && reason == EVP_R_MEMORY_LIMIT_EXCEEDED))
            return vks_import_fail(VKS_IMPORT_NO_KEY,
                                   "raise the limit on locked memory (ulimit -l), or encrypt it anew without scrypt",
                                   "%s is encrypted in a way that takes more secret memory than there is", path);
        if (evp && (reason == ERR_R_UNSUPPORTED || reason == EVP_R_UNKNOWN_PBE_ALGORITHM ||
                    reason == EVP_R_UNSUPPORTED_CIPHER))
            return vks_import_fail(VKS_IMPORT_NO_KEY, "encrypt it anew: openssl pkcs8 -topk8 -v2 aes-256-cbc",
                                   "%s is encrypted with an algorithm that is not supported", path);
    }
    return vks_import_fail(VKS_IMPORT_PASSPHRASE, NULL, "wrong passphrase for %s", path);
}

static bool is_pkcs12(const struct vks_secret_input *file)
{
    const uint8_t *cursor = file->bytes;
    PKCS12 *parsed = d2i_PKCS12(NULL, &cursor, (long)file->size_bytes);

    PKCS12_free(parsed);
    return parsed != NULL;
}

static int no_key_failure(const struct vks_import_arguments *arguments, const struct vks_secret_input *file)
{
    const char *path = arguments->path;

    if (holds(file, "-----BEGIN OPENSSH PRIVATE KEY-----"))
        return vks_import_fail(VKS_IMPORT_NO_KEY, "convert a copy first: ssh-keygen -p -m PKCS8 -f COPY",
                               "%s is in OpenSSH's own format", path);
    if (is_pkcs12(file))
        return vks_import_fail(VKS_IMPORT_NO_KEY, "import it with --pkcs12 FILE", "%s is a pkcs#12 file", path);
    if (holds(file, "PRIVATE KEY-----"))
        return vks_import_fail(VKS_IMPORT_NO_KEY,
                               vks_algorithm_has(vks_key_kind_find(VKS_KEY_TYPE_ML_DSA_65))
                                   ? NULL
                                   : "keys of type ml-dsa or ml-kem are read with OpenSSL 3.5 or newer",
                               "%s holds a damaged private key, or one of an unknown kind", path);
    if (holds(file, "-----BEGIN CERTIFICATE-----") || holds(file, "-----BEGIN PUBLIC KEY-----"))
        return vks_import_fail(VKS_IMPORT_NO_KEY, NULL, "%s holds a public key or certificate, not a private key",
                               path);
    return vks_import_fail(VKS_IMPORT_NO_KEY, "name its format with --format, and --type for a raw key",
                           "%s is not a key file that is understood", path);
}

static int parse_raw(const struct vks_import_arguments *arguments, const struct vks_secret_input *file,
                     struct vks_key_file *key)
{
    const struct vks_key_kind *kind = arguments->kind;
    size_t bytes = file->size_bytes;

    if (kind->family != VKS_KEY_FAMILY_HMAC && bytes != kind->size_bytes)
        return vks_import_fail(VKS_IMPORT_NO_KEY, "a raw key is binary, with no line end",
                               "%s has %zu bytes, %s takes %u", arguments->path, bytes, kind->name, kind->size_bytes);
    if (kind->family == VKS_KEY_FAMILY_HMAC && (bytes < VKS_HMAC_KEY_BYTES_MIN || bytes > VKS_HMAC_KEY_BYTES_MAX))
        return vks_import_fail(VKS_IMPORT_NO_KEY, NULL, "%s has %zu bytes, %s takes %d to %d", arguments->path, bytes,
                               kind->name, (int)VKS_HMAC_KEY_BYTES_MIN, (int)VKS_HMAC_KEY_BYTES_MAX);
    if (vks_key_material_check_raw(kind, file->bytes, bytes))
        return vks_import_fail(VKS_IMPORT_NO_KEY, "xts takes two keys that differ", "%s holds one key twice",
                               arguments->path);
    key->kind = kind;
    key->material_bytes = bytes;
    key->material = vks_secret_alloc(bytes);
    if (key->material == NULL)
        return vks_import_fail(VKS_IMPORT_INTERNAL, NULL, "out of secret memory");
    memcpy(key->material, file->bytes, bytes);
    return 0;
}

int vks_key_file_take(const struct vks_import_arguments *arguments, EVP_PKEY *pkey, struct vks_key_file *key)
{
    int error;

    key->kind = vks_key_material_kind(pkey);
    if (key->kind == NULL)
        return vks_import_fail(VKS_IMPORT_NO_KEY,
                               "the vault takes ec-p256, ec-p384, ed25519, x25519, rsa-2048 to rsa-4096, and with "
                               "OpenSSL 3.5 ml-dsa and ml-kem",
                               "%s holds a key of a kind or size that the vault does not take, or an inconsistent one",
                               arguments->path);
    if (arguments->kind && key->kind != arguments->kind)
        return vks_import_fail(VKS_IMPORT_NO_KEY, NULL, "%s holds an %s key, not %s", arguments->path, key->kind->name,
                               arguments->kind->name);
    if (vks_key_material_check_import(key->kind, pkey))
        return vks_import_fail(VKS_IMPORT_NO_KEY, NULL, "%s holds a key whose parts do not fit each other",
                               arguments->path);
    error = vks_key_material_encode(key->kind, pkey, &key->material, &key->material_bytes);
    if (error == -ENODATA)
        return vks_import_fail(VKS_IMPORT_NO_KEY, "export it with its seed, or make a new key",
                               "%s holds an %s key without its seed", arguments->path, key->kind->name);
    if (error)
        return vks_import_fail(VKS_IMPORT_INTERNAL, NULL, "out of secret memory");
    return 0;
}

static int parse_private_key(const struct vks_import_arguments *arguments, const struct vks_secret_input *file,
                             struct vks_key_file *key)
{
    bool pem = arguments->format == VKS_IMPORT_FORMAT_PEM;
    bool pkcs8 = arguments->format == VKS_IMPORT_FORMAT_PKCS8;
    struct asker asker = {.arguments = arguments};
    EVP_PKEY *pkey;
    int code;

    if (pkcs8 || arguments->format == VKS_IMPORT_FORMAT_AUTO)
        pem = holds(file, "-----BEGIN ");
    if (pkcs8 && !is_pkcs8(file, pem))
        return vks_import_fail(VKS_IMPORT_NO_KEY, "leave --format away", "%s holds no PKCS#8 key", arguments->path);
    ERR_clear_error();
    pkey = decode(file, pem ? "PEM" : "DER", &asker);
    if (pkey)
        code = vks_key_file_take(arguments, pkey, key);
    else if (asker.code)
        code = asker.code;
    else if (asker.asked)
        code = encrypted_failure(arguments->path);
    else
        code = no_key_failure(arguments, file);
    EVP_PKEY_free(pkey);
    vks_secret_free(asker.passphrase.bytes);
    ERR_clear_error();
    return code;
}

int vks_key_file_parse(const struct vks_import_arguments *arguments, const struct vks_secret_input *file,
                       struct vks_key_file *key)
{
    *key = (struct vks_key_file){NULL, NULL, 0};
    if (arguments->kind == NULL || !vks_key_kind_is_symmetric(arguments->kind))
        return parse_private_key(arguments, file, key);
    if (arguments->format == VKS_IMPORT_FORMAT_RAW || arguments->format == VKS_IMPORT_FORMAT_AUTO)
        return parse_raw(arguments, file, key);
    return vks_import_fail(VKS_IMPORT_USAGE, "leave --format away", "symmetric keys are read in raw form only");
}
