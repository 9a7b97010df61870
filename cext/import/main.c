/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-import: reads a key file, asks for its passphrase if need be, and writes the key to standard output wrapped to an
 * offer of the custodian; or the passphrase of the root of trust. No Python process ever sees either.
 */
#include <string.h>
#include <unistd.h>

#include "arguments.h"
#include "confinement.h"
#include "crypto_process.h"
#include "failure.h"
#include "import_wrap.h"
#include "key_file.h"
#include "pkcs12_file.h"
#include "secret_arena.h"
#include "secret_input.h"
#include "secret_stack.h"
#include "stream.h"

static int write_out(int fd, const uint8_t *bytes, size_t size_bytes)
{
    int error = vks_stream_write(fd, bytes, size_bytes);

    if (error)
        return vks_import_fail(VKS_IMPORT_INTERNAL, NULL, "cannot write what was wrapped: %s", strerror(-error));
    return 0;
}

static int wrap_out(const struct vks_custodian_offer *offer, uint32_t type, const uint8_t *material,
                    size_t material_bytes)
{
    static uint8_t wrapped[VKS_IMPORT_WRAPPED_BYTES_MAX];

    if (vks_import_wrap(offer, type, material, material_bytes, wrapped))
        return vks_import_fail(VKS_IMPORT_INTERNAL, "make a new offer", "cannot wrap to this offer");
    return write_out(STDOUT_FILENO, wrapped, material_bytes + VKS_IMPORT_WRAPPED_OVERHEAD);
}

/* The certificates first: whoever has the key then has them all. */
static int parse_pkcs12(const struct vks_import_arguments *arguments, const struct vks_secret_input *file,
                        struct vks_key_file *key)
{
    BIO *certificates = BIO_new(BIO_s_mem());
    char *pem = NULL;
    int code = certificates ? vks_pkcs12_parse(arguments, file, key, certificates)
                            : vks_import_fail(VKS_IMPORT_INTERNAL, NULL, "out of secret memory");

    if (code == 0 && arguments->certificates_fd >= 0) {
        size_t pem_bytes = (size_t)BIO_get_mem_data(certificates, &pem);

        code = write_out(arguments->certificates_fd, (const uint8_t *)pem, pem_bytes);
    }
    BIO_free(certificates);
    return code;
}

static int import_key(const struct vks_import_arguments *arguments)
{
    struct vks_key_file key = {NULL, NULL, 0};
    struct vks_secret_input file;
    int code = vks_secret_input_file(arguments->path, &file);

    if (code == 0)
        code = arguments->format == VKS_IMPORT_FORMAT_PKCS12 ? parse_pkcs12(arguments, &file, &key)
                                                             : vks_key_file_parse(arguments, &file, &key);
    vks_secret_free(file.bytes);
    if (code == 0)
        code = wrap_out(&arguments->offer, key.kind->type, key.material, key.material_bytes);
    vks_secret_free(key.material);
    return code;
}

static int import_passphrase(const struct vks_import_arguments *arguments)
{
    struct vks_secret_input passphrase;
    int code = vks_secret_input_passphrase(arguments, &passphrase);

    if (code == 0 && passphrase.size_bytes == 0)
        code = vks_import_fail(VKS_IMPORT_PASSPHRASE, NULL, "the passphrase is empty");
    if (code == 0)
        code = wrap_out(&arguments->offer, VKS_TYPE_ROOT_SECRET, passphrase.bytes, passphrase.size_bytes);
    vks_secret_free(passphrase.bytes);
    return code;
}

static int import(void *argument)
{
    const struct vks_import_arguments *arguments = argument;

    return arguments->what == VKS_IMPORT_KEY ? import_key(arguments) : import_passphrase(arguments);
}

int main(int count, char **words)
{
    struct vks_import_arguments arguments;
    int code = vks_import_arguments_parse(count, words, &arguments);
    int error;

    if (code)
        return code < 0 ? 0 : code;
    error = vks_crypto_start();
    if (!error) {
        error = vks_import_confine();
        if (error)
            return vks_import_fail(VKS_IMPORT_INTERNAL, NULL, "cannot set up the sandbox: %s", strerror(-error));
    }
    if (!error)
        code = vks_secret_call(import, &arguments);
    if (error || code < 0)
        return vks_import_fail(VKS_IMPORT_INTERNAL, "raise the limit on locked memory (ulimit -l)",
                               "cannot set up secret memory: %s", strerror(-(error ? error : code)));
    return code;
}
