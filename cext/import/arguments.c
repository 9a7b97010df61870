/* SPDX-License-Identifier: Apache-2.0 */
#include "arguments.h"

#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "failure.h"
#include "offer_text.h"

static const char usage[] =
    "usage: vks-import --offer HEX [--type TYPE] [--format FORMAT] [--passphrase-fd N | --passphrase-file PATH]\n"
    "                  [--certificates-fd N] FILE\n"
    "       vks-import --offer HEX --root-passphrase | --new-root-passphrase [--passphrase-fd N | --passphrase-file "
    "PATH]\n"
    "\n"
    "Read the private or secret key in FILE ('-': standard input), or the passphrase of the vault's root of trust, and "
    "write\n"
    "it to standard output, wrapped to an offer of the custodian. A passphrase that is needed and not given is asked "
    "for on\n"
    "the terminal.\n"
    "\n"
    "  --offer HEX             id and public key of the offer, 96 hex digits\n"
    "  --type TYPE             ec-p256, ec-p384, ed25519, x25519, rsa-2048, rsa-3072, rsa-4096, aes-128,\n"
    "                          aes-256, hmac-sha256, hmac-sha384, hmac-sha512, chacha20-poly1305, aes-128-xts,\n"
    "                          aes-256-xts, ml-dsa-44, ml-dsa-65, ml-dsa-87, ml-kem-512, ml-kem-768,\n"
    "                          ml-kem-1024, or auto\n"
    "                          (asymmetric keys only)\n"
    "  --format FORMAT         pem, der, pkcs8, raw, pkcs12 or auto\n"
    "  --certificates-fd N     with pkcs12: write the key's certificates to descriptor N, as PEM\n"
    "  --root-passphrase       no key: the passphrase of the root of trust\n"
    "  --new-root-passphrase   the same, a new one: the terminal asks twice\n"
    "  --passphrase-fd N       read the passphrase from descriptor N\n"
    "  --passphrase-file PATH  read the passphrase from a file\n"
    "\n"
    "exit codes: 2 usage, 3 cannot read, 4 no key that the vault takes, 5 wrong passphrase\n";

static const char *const formats[] = {"auto", "pem", "der", "pkcs8", "raw", "pkcs12"};

static int parse_offer(const char *hex, struct vks_custodian_offer *offer)
{
    return vks_offer_parse(hex, offer)
               ? vks_import_fail(VKS_IMPORT_USAGE, NULL, "--offer takes %zu hex digits", 2 * sizeof(*offer))
               : 0;
}

static int parse_format(const char *name, enum vks_import_format *format)
{
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        if (strcmp(formats[i], name) == 0) {
            *format = (enum vks_import_format)i;
            return 0;
        }
    }
    return vks_import_fail(VKS_IMPORT_USAGE, "formats are pem, der, pkcs8, raw, pkcs12 and auto", "unknown format: %s",
                           name);
}

static int parse_type(const char *name, const struct vks_key_kind **kind)
{
    *kind = vks_key_kind_named(name);
    if (*kind || strcmp(name, "auto") == 0)
        return 0;
    return vks_import_fail(VKS_IMPORT_USAGE, "vks-import --help names the types", "unknown key type: %s", name);
}

static int parse_fd(const char *option, const char *text, int *fd)
{
    char *end;
    long number = strtol(text, &end, 10);

    if (*text == '\0' || *end != '\0' || number < 0 || number > 65535)
        return vks_import_fail(VKS_IMPORT_USAGE, NULL, "%s takes a number", option);
    *fd = (int)number;
    return 0;
}

static int check(const struct vks_import_arguments *arguments, int offered)
{
    if (!offered)
        return vks_import_fail(VKS_IMPORT_USAGE, "vmm-keystore key import makes one", "--offer is missing");
    if (arguments->passphrase_fd >= 0 && arguments->passphrase_path)
        return vks_import_fail(VKS_IMPORT_USAGE, NULL, "--passphrase-fd and --passphrase-file exclude each other");
    if (arguments->format == VKS_IMPORT_FORMAT_RAW && !(arguments->kind && vks_key_kind_is_symmetric(arguments->kind)))
        return vks_import_fail(VKS_IMPORT_USAGE, "give --type aes-256 or one like it",
                               "raw keys are symmetric ones, and their type must be given");
    if (arguments->format == VKS_IMPORT_FORMAT_PKCS12 && arguments->kind && vks_key_kind_is_symmetric(arguments->kind))
        return vks_import_fail(VKS_IMPORT_USAGE, NULL, "a pkcs#12 file has no %s key", arguments->kind->name);
    return 0;
}

static int take_option(int option, struct vks_import_arguments *arguments)
{
    switch (option) {
    case 'o':
        return parse_offer(optarg, &arguments->offer);
    case 't':
        return parse_type(optarg, &arguments->kind);
    case 'f':
        return parse_format(optarg, &arguments->format);
    case 'r':
        arguments->what = VKS_IMPORT_ROOT_PASSPHRASE;
        return 0;
    case 'n':
        arguments->what = VKS_IMPORT_NEW_ROOT_PASSPHRASE;
        return 0;
    case 'd':
        return parse_fd("--passphrase-fd", optarg, &arguments->passphrase_fd);
    case 'c':
        return parse_fd("--certificates-fd", optarg, &arguments->certificates_fd);
    case 'p':
        arguments->passphrase_path = optarg;
        return 0;
    case 'h':
        fputs(usage, stdout);
        return -1;
    default:
        return vks_import_fail(VKS_IMPORT_USAGE, "vks-import --help names the options",
                               "unknown option, or one without its value");
    }
}

int vks_import_arguments_parse(int count, char **words, struct vks_import_arguments *arguments)
{
    static const struct option options[] = {
        {"offer", required_argument, NULL, 'o'},
        {"type", required_argument, NULL, 't'},
        {"format", required_argument, NULL, 'f'},
        {"root-passphrase", no_argument, NULL, 'r'},
        {"new-root-passphrase", no_argument, NULL, 'n'},
        {"passphrase-fd", required_argument, NULL, 'd'},
        {"passphrase-file", required_argument, NULL, 'p'},
        {"certificates-fd", required_argument, NULL, 'c'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    int offered = 0;
    int option;

    *arguments = (struct vks_import_arguments){.passphrase_fd = -1, .certificates_fd = -1};
    opterr = 0;
    while ((option = getopt_long(count, words, "h", options, NULL)) != -1) {
        int code = take_option(option, arguments);

        if (code)
            return code;
        offered |= option == 'o';
    }
    if (optind != count - (arguments->what == VKS_IMPORT_KEY ? 1 : 0))
        return vks_import_fail(VKS_IMPORT_USAGE, "vks-import --help shows the usage", "one key %s",
                               arguments->what == VKS_IMPORT_KEY ? "file is wanted" : "or a passphrase, not both");
    arguments->path = arguments->what == VKS_IMPORT_KEY ? words[optind] : NULL;
    return check(arguments, offered);
}
