/* SPDX-License-Identifier: BSD-3-Clause */
/* vks: use the vault's keys from a shell. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "io.h"

#define KEY_OPTIONS (OPTION_MECHANISM | OPTION_VERSION)

static const struct command commands[] = {
    {"info", {0}, OPTION_JSON, "what the device is and serves", NULL, command_info},
    {"list", {0}, OPTION_JSON, "the keys granted to this guest", NULL, command_list},
    {"public", {"KEY"}, OPTION_VERSION | OPTION_DER, "the public key", "PEM, SubjectPublicKeyInfo.", command_public},
    {"sign",
     {"KEY"},
     KEY_OPTIONS | OPTION_DIGEST | OPTION_RAW,
     "sign stdin, the signature to stdout",
     "Up to 1 MiB; larger data by its digest:\n"
     "  openssl dgst -sha256 -binary FILE | vks sign --digest KEY >SIG\n"
     "Check it anywhere:\n"
     "  vks public KEY >key.pem; openssl dgst -sha256 -verify key.pem -signature SIG FILE",
     command_sign},
    {"verify",
     {"KEY", "SIG"},
     KEY_OPTIONS | OPTION_DIGEST | OPTION_RAW,
     "verify stdin against the signature in the file SIG",
     NULL,
     command_verify},
    {"encrypt",
     {"KEY"},
     KEY_OPTIONS | OPTION_AAD | OPTION_NONCE | OPTION_TWEAK | OPTION_OAEP_LABEL,
     "encrypt stdin to stdout",
     "AES-GCM and ChaCha20-Poly1305 give nonce (12 bytes), ciphertext, tag (16 bytes). Up to 1 MiB.\n"
     "Key wrap, of up to 4 KiB: --mechanism aes-kw (whole units of 8 bytes), aes-kwp (any length).\n"
     "AES-XTS, of at least 16 bytes: --tweak, which decrypt needs again.",
     command_encrypt},
    {"decrypt",
     {"KEY"},
     KEY_OPTIONS | OPTION_AAD | OPTION_TWEAK | OPTION_OAEP_LABEL,
     "decrypt stdin, what encrypt gave, to stdout",
     "A version other than the current one is named by --version.",
     command_decrypt},
    {"mac",
     {"KEY"},
     KEY_OPTIONS,
     "the MAC of stdin to stdout",
     "HMAC; of an AES key with --mechanism aes-cmac.",
     command_mac},
    {"mac-verify",
     {"KEY", "TAG"},
     KEY_OPTIONS,
     "verify stdin against the MAC in the file TAG",
     NULL,
     command_mac_verify},
    {"derive",
     {"KEY"},
     KEY_OPTIONS | OPTION_PEER | OPTION_SALT | OPTION_INFO | OPTION_BYTES,
     "a secret derived from a key to stdout",
     "Raw bytes, where the grant has derive and release.\n"
     "Keys of type ec-p256, ec-p384 and x25519 agree with the peer's key on a secret that HKDF derives from;\n"
     "--mechanism ecdh, which the grant has to name, gives it as it is, 32 or 48 bytes. HMAC keys derive by\n"
     "HKDF without a peer.\n"
     "Both sides get the same secret:\n"
     "  vks public KEY >key.pem; openssl pkey -in their-private.pem -pubout >their.pem\n"
     "  vks derive KEY --peer their.pem --mechanism ecdh >SECRET\n"
     "  openssl pkeyutl -derive -inkey their-private.pem -peerkey key.pem >SECRET",
     command_derive},
    {"data-key",
     {"KEY", "SEALED"},
     KEY_OPTIONS | OPTION_AAD | OPTION_BYTES,
     "a new secret to stdout, encrypted into the file SEALED",
     "Raw bytes, where the grant has data-key and release; of AES and ChaCha20-Poly1305 keys.\n"
     "SEALED is a new file that its owner may read. Where there is one of that name nothing is made: it may\n"
     "be all that opens what was encrypted earlier. decrypt gives the secret again, with the same --aad, and\n"
     "with --version once the key was rotated:\n"
     "  vks data-key KEY disk.sealed | cryptsetup luksFormat --batch-mode --key-file - DEVICE\n"
     "  vks decrypt KEY <disk.sealed | cryptsetup open --key-file - DEVICE NAME",
     command_data_key},
    {"paes",
     {"KEY", "TOKEN"},
     OPTION_VERSION,
     "a new disk key, as a token for the kernel, into the file TOKEN",
     "Where the grant has data-key, decrypt and release; of AES and ChaCha20-Poly1305 keys. The raw key is never\n"
     "shown: the module virtio_keystore has the vault open the token when a disk is opened, and keeps the raw key\n"
     "in the kernel. TOKEN is a new file that its owner may read, 128 bytes; no secret, but without it the disk is\n"
     "lost, and so it is without this version of KEY:\n"
     "  vks paes KEY TOKEN\n"
     "  cryptsetup open --type plain --cipher paes-xts-plain64 --key-size 1024 --sector-size 4096 \\\n"
     "    --key-file TOKEN DEVICE NAME",
     command_paes},
    {"decapsulate",
     {"KEY"},
     KEY_OPTIONS,
     "the secret of an ML-KEM ciphertext on stdin to stdout",
     "32 raw bytes, where the grant has decapsulate and release; of keys of type ml-kem-512, -768 and -1024.\n"
     "Whoever has the public key makes secret and ciphertext, with OpenSSL 3.5 or newer:\n"
     "  vks public KEY >key.pem\n"
     "  openssl pkeyutl -encap -inkey key.pem -pubin -out CIPHERTEXT -secret SECRET\n"
     "A ciphertext that was not made for this key gives a secret that nobody else has, and no error.",
     command_decapsulate},
    {"generate",
     {"LABEL"},
     OPTION_TYPE | OPTION_JSON,
     "a new key of the guest's own",
     "Where the host's operator allows this guest keys of its own. Prints label, type and key id.\n"
     "Types: ec-p256, ec-p384 and ed25519 sign; aes-128, aes-256 and chacha20-poly1305 encrypt; hmac-sha256,\n"
     "hmac-sha384 and hmac-sha512 make MACs; ml-dsa-44, ml-dsa-65 and ml-dsa-87 sign, where the host has them.\n"
     "A label is letters, digits, '.', '_' and '-', the first a letter or digit.",
     command_generate},
    {"rotate",
     {"KEY"},
     OPTION_JSON,
     "a new version of a key of the guest's own",
     "It signs, encrypts and makes MACs from now on; the versions before it still verify and decrypt, by --version.\n"
     "Prints label, version and key id.",
     command_rotate},
    {"destroy",
     {"KEY"},
     OPTION_YES,
     "destroy a key of the guest's own",
     "All its versions, for ever: what they encrypted is lost. Asks on a terminal; elsewhere it takes --yes.",
     command_destroy},
    {"random", {"N"}, 0, "N random bytes from the host to stdout", NULL, command_random},
    {"bench",
     {"KEY"},
     KEY_OPTIONS | OPTION_DEPTH | OPTION_SIZE | OPTION_SECONDS | OPTION_JSON,
     "how fast a key signs, encrypts or makes MACs from here",
     "The first of the three that the grant has, on zeros, for some seconds. Every operation is a real one: it is on\n"
     "record at the host, and counts where the grant has a budget.",
     command_bench},
    {"luks",
     {"COMMAND"},
     0,
     "disks that the vault unlocks",
     "In a package of its own, vks-luks. 'vks luks --help' lists the commands; 'luks' has to come first.",
     command_luks},
    {"doctor", {0}, OPTION_JSON, "find out why it does not work", NULL, command_doctor},
    {0},
};

static void print_help(void)
{
    char usage[80];

    puts("usage: vks COMMAND [OPTION...]\n\nUse keys that the host's vault grants to this guest. Data comes on stdin, "
         "results go to "
         "stdout.\nKEY is a label, or a key id as 32 hex digits.\n\ncommands:");
    for (const struct command *command = commands; command->name; command++) {
        command_usage(command, usage, sizeof(usage));
        printf("  %-22s %s\n", usage + strlen("vks "), command->summary);
    }
    puts("\n'vks COMMAND --help' lists the options of a command.");
}

static void print_command_help(const struct command *command)
{
    const char *name, *text;
    char usage[80];

    command_usage(command, usage, sizeof(usage));
    printf("usage: %s [OPTION...]\n\n%s\n\noptions:\n", usage, command->summary);
    for (unsigned int n = 0; command_option(command, n, &name, &text); n++)
        printf("  %s\n", text);
    if (command->details)
        printf("\n%s\n", command->details);
}

int main(int argc, char *argv[])
{
    struct options options;
    struct parse_error error;
    int status = 0;

    /* Its words and options are its own. */
    if (argc > 1 && strcmp(argv[1], "luks") == 0)
        return luks_run(argv + 1);
    if (options_parse(argc, (const char *const *)argv, commands, &options, &error)) {
        complain_words("usage", error.text, error.hint);
        return 2;
    }
    if (!options.help)
        status = options.command->run(&options);
    else if (options.command)
        print_command_help(options.command);
    else
        print_help();
    if (output_end() && status == 0)
        status = complain_words("stdout", "the result could not be written", NULL);
    return status;
}
