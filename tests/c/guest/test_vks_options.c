/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of vks: what is understood, and the one line that says what is not. */
#include <string.h>

#include "../check.h"
#include "options.h"
#include "vks.h"

static const struct command commands[] = {
    {"list", {0}, OPTION_JSON, "", NULL, NULL},
    {"encrypt", {"KEY"}, OPTION_MECHANISM | OPTION_VERSION | OPTION_AAD | OPTION_NONCE | OPTION_TWEAK, "", NULL, NULL},
    {"verify", {"KEY", "SIG"}, OPTION_DIGEST | OPTION_RAW, "", NULL, NULL},
    {"derive", {"KEY"}, OPTION_PEER | OPTION_SALT | OPTION_INFO | OPTION_BYTES, "", NULL, NULL},
    {"generate", {"LABEL"}, OPTION_TYPE, "", NULL, NULL},
    {"destroy", {"KEY"}, OPTION_YES, "", NULL, NULL},
    {"bench", {"KEY"}, OPTION_DEPTH | OPTION_SIZE | OPTION_SECONDS, "", NULL, NULL},
    {0},
};

#define WORDS_MAX 9

static const struct {
    const char *words[WORDS_MAX];
    const char *error; /* NULL: understood */
} lines[] = {
    {{"list"}, NULL},
    {{"list", "--json"}, NULL},
    {{"--json", "list"}, NULL},
    {{"verify", "k", "s", "--raw", "--digest"}, NULL},
    {{"verify", "--", "--raw", "-s"}, NULL},
    {{"verify", "-", "s"}, NULL},
    {{"encrypt", "k", "--version=3", "--device=/dev/x"}, NULL},
    {{"encrypt", "k", "--aad", "--json"}, NULL},
    {{"encrypt", "k", "--aad="}, NULL},
    {{"derive", "k", "--peer", "p.pem", "--salt=s", "--info=", "--bytes=1"}, NULL},
    {{"derive", "k", "--bytes", "1024"}, NULL},
    {{"generate", "l", "--type", "aes-256"}, NULL},
    {{"destroy", "k", "--yes"}, NULL},
    {{"bench", "k", "--depth", "256", "--size=1048576", "--seconds", "3600"}, NULL},
    {{"--help"}, NULL},
    {{"encrypt", "--help"}, NULL},
    {{"-h"}, NULL},
    {{NULL}, "which command?"},
    {{"lis"}, "no command 'lis'"},
    {{""}, "no command ''"},
    {{"verify", "k"}, "verify: SIG is missing"},
    {{"verify"}, "verify: KEY is missing"},
    {{"verify", "k", "s", "x"}, "verify: 'x' is one word too many"},
    {{"list", "x"}, "list: 'x' is one word too many"},
    {{"list", "--raw"}, "list takes no option --raw"},
    {{"list", "--bogus"}, "no option '--bogus'"},
    {{"list", "--js"}, "no option '--js'"},
    {{"list", "-x"}, "no option '-x'"},
    {{"list", "--json=1"}, "option --json takes no value"},
    {{"encrypt", "k", "--aad"}, "option --aad needs a value"},
    {{"encrypt", "k", "--version", "0"}, "'0' is not a key version"},
    {{"encrypt", "k", "--version", "-1"}, "'-1' is not a key version"},
    {{"encrypt", "k", "--version", "1x"}, "'1x' is not a key version"},
    {{"encrypt", "k", "--version", " 1"}, "' 1' is not a key version"},
    {{"encrypt", "k", "--version", "4294967296"}, "'4294967296' is not a key version"},
    {{"encrypt", "k", "--version", "99999999999999999999999"}, "'99999999999999999999999' is not a key version"},
    {{"derive"}, "derive: KEY is missing"},
    {{"derive", "k", "--peer"}, "option --peer needs a value"},
    {{"derive", "k", "--bytes", "0"}, "'0' is not a number of bytes"},
    {{"derive", "k", "--bytes", "1025"}, "'1025' is not a number of bytes"},
    {{"derive", "k", "--bytes", "4294967297"}, "'4294967297' is not a number of bytes"},
    {{"derive", "k", "--bytes", "32k"}, "'32k' is not a number of bytes"},
    {{"verify", "k", "s", "--peer", "p"}, "verify takes no option --peer"},
    {{"verify", "k", "s", "--bytes", "1"}, "verify takes no option --bytes"},
    {{"verify", "k", "s", "--salt", "s"}, "verify takes no option --salt"},
    {{"verify", "k", "s", "--info", "i"}, "verify takes no option --info"},
    {{"generate"}, "generate: LABEL is missing"},
    {{"generate", "l", "--type"}, "option --type needs a value"},
    {{"generate", "l", "--type", "ec"}, "no key type 'ec'"},
    {{"generate", "l", "--type="}, "no key type ''"},
    {{"generate", "l", "--yes"}, "generate takes no option --yes"},
    {{"bench", "k", "--depth", "257"}, "'257' is not a number of requests"},
    {{"bench", "k", "--depth", "0"}, "'0' is not a number of requests"},
    {{"bench", "k", "--size", "1048577"}, "'1048577' is not a number of bytes"},
    {{"bench", "k", "--seconds", "-1"}, "'-1' is not a number of seconds"},
    {{"generate", "l", "--depth", "1"}, "generate takes no option --depth"},
    {{"destroy", "k", "--yes=no"}, "option --yes takes no value"},
    {{"destroy", "k", "--type", "aes-256"}, "destroy takes no option --type"},
    {{"encrypt", "k", "--mechanism", "rot13"}, "no mechanism 'rot13'"},
    {{"encrypt", "k", "--mechanism", "default"}, "no mechanism 'default'"},
    {{"encrypt", "k", "--nonce", "0"}, "'0' is not a nonce in hex"},
    {{"encrypt", "k", "--nonce", ""}, "'' is not a nonce in hex"},
    {{"encrypt", "k", "--nonce", "0g"}, "'0g' is not a nonce in hex"},
    {{"encrypt", "k", "--nonce", "0\x10"}, "'0\x10' is not a nonce in hex"},
    {{"encrypt", "k", "--tweak", "0g"}, "'0g' is not a tweak in hex"},
    {{"encrypt", "k", "--tweak", "0000000000000000000000000000000000"},
     "'0000000000000000000000000000000000' is not a tweak in hex"},
    {{"list", "--tweak", "00"}, "list takes no option --tweak"},
    {{"encrypt", "k", "--nonce", "0000000000000000000000000000000000"},
     "'0000000000000000000000000000000000' is not a nonce in hex"},
};

static int parse(const char *const words[], struct options *options, struct parse_error *error)
{
    const char *argv[WORDS_MAX + 2] = {"vks"};
    int argc = 1;

    while (words[argc - 1]) {
        argv[argc] = words[argc - 1];
        argc++;
    }
    return options_parse(argc, argv, commands, options, error);
}

static void test_lines(void)
{
    for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
        const char *name = lines[i].words[0] ? lines[i].words[0] : "";
        struct parse_error error;
        struct options options;
        int got = parse(lines[i].words, &options, &error);

        CHECK_EQUAL(lines[i].error ? lines[i].error : name, got, lines[i].error ? -1 : 0);
        if (lines[i].error && strcmp(error.text, lines[i].error) != 0) {
            fprintf(stderr, "got: %s\n", error.text);
            CHECK(lines[i].error, false);
        }
        CHECK(name, !lines[i].error || error.hint[0]);
    }
}

static void test_values(void)
{
    const char *words[] = {"encrypt",           "--nonce", "00fF10",      "key", "--mechanism",
                           "aes-gcm-own-nonce", "--aad=a", "--version=7", NULL};
    const char *tweak[] = {"encrypt", "key", "--tweak=000102030405060708090a0b0c0d0eff", NULL};
    const char *operands[] = {"verify", "--", "--raw", "sig", NULL};
    const char *derive[] = {"derive", "--peer", "p.pem", "key", "--salt=s", "--info", "i", "--bytes=1024", NULL};
    const char *type[] = {"generate", "label", "--type=aes-256", NULL};
    const char *bench[] = {"bench", "key", "--depth=8", "--seconds", "2", NULL};
    struct parse_error error;
    struct options options;

    CHECK_EQUAL("values", parse(words, &options, &error), 0);
    CHECK_EQUAL("nonce", options.nonce_size, 3);
    CHECK("nonce", options.nonce[0] == 0 && options.nonce[1] == 0xff && options.nonce[2] == 0x10);
    CHECK_EQUAL("mechanism", options.mechanism, VKS_MECHANISM_AES_GCM_OWN_NONCE);
    CHECK_EQUAL("version", options.version, 7);
    CHECK("aad", strcmp(options.aad, "a") == 0);
    CHECK("operand", strcmp(options.operands[0], "key") == 0 && !options.device);
    CHECK_EQUAL("tweak", parse(tweak, &options, &error), 0);
    CHECK("tweak", options.tweak_size == 16 && options.tweak[1] == 1 && options.tweak[15] == 0xff);
    CHECK_EQUAL("no nonce", options.nonce_size, 0);
    CHECK("no derivation", !options.peer && !options.salt && !options.info);
    CHECK_EQUAL("as a key of AES-256", options.bytes, 32);
    CHECK_EQUAL("bench", parse(bench, &options, &error), 0);
    CHECK("bench", options.depth == 8 && options.seconds == 2 && options.size == 32);
    CHECK_EQUAL("derive", parse(derive, &options, &error), 0);
    CHECK("peer", strcmp(options.peer, "p.pem") == 0 && strcmp(options.operands[0], "key") == 0);
    CHECK("hkdf", strcmp(options.salt, "s") == 0 && strcmp(options.info, "i") == 0);
    CHECK_EQUAL("bytes", options.bytes, 1024);
    CHECK_EQUAL("signs, where nothing else is said", options.type, VKS_KEY_TYPE_EC_P256);
    CHECK_EQUAL("type", parse(type, &options, &error), 0);
    CHECK_EQUAL("type", options.type, VKS_KEY_TYPE_AES_256);
    CHECK_EQUAL("operands", parse(operands, &options, &error), 0);
    CHECK("operands", strcmp(options.operands[0], "--raw") == 0 && options.given == 0);
}

int main(void)
{
    test_lines();
    test_values();
    return 0;
}
