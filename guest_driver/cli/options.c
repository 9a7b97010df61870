/* SPDX-License-Identifier: BSD-3-Clause */
/* Options may stand anywhere; "--" ends them; values follow as "--name value" or "--name=value". */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "options.h"
#include "vks.h"

struct option_spec {
    const char *name;
    uint32_t flag; /* enum option_flag; 0: goes with every command */
    bool has_value;
    const char *text;
};

static const struct option_spec option_specs[] = {
    {"--device", 0, true,
     "--device PATH      /dev/keystore*, or vhost-user:SOCKET on the host; else $VKS_DEVICE, else the first "
     "/dev/keystore*"},
    {"--help", 0, false, "--help             this text"},
    {"--json", OPTION_JSON, false, "--json             facts as JSON"},
    {"--mechanism", OPTION_MECHANISM, true,
     "--mechanism NAME   else the default of the key's type; 'vks list' names them"},
    {"--version", OPTION_VERSION, true, "--version N        this version of the key, not the current one"},
    {"--digest", OPTION_DIGEST, false, "--digest           the data is a digest made with the mechanism's hash"},
    {"--raw", OPTION_RAW, false, "--raw              ECDSA signatures as r || s, not as DER"},
    {"--der", OPTION_DER, false, "--der              DER, not PEM"},
    {"--aad", OPTION_AAD, true, "--aad TEXT         associated data (aes-gcm, chacha20-poly1305)"},
    {"--nonce", OPTION_NONCE, true, "--nonce HEX        the nonce, 12 bytes (mechanisms ...-own-nonce)"},
    {"--tweak", OPTION_TWEAK, true, "--tweak HEX        the tweak, 16 bytes (aes-xts)"},
    {"--oaep-label", OPTION_OAEP_LABEL, true, "--oaep-label TEXT  the label (rsa-oaep-*)"},
    {"--peer", OPTION_PEER, true, "--peer FILE        the peer's public key: PEM, DER, or the point itself"},
    {"--salt", OPTION_SALT, true, "--salt TEXT        the salt of HKDF, up to 1024 bytes"},
    {"--info", OPTION_INFO, true, "--info TEXT        what the secret is for (HKDF), up to 1024 bytes"},
    {"--bytes", OPTION_BYTES, true, "--bytes N          how long the secret is, 1 to 1024; else 32"},
    {"--type", OPTION_TYPE, true, "--type TYPE        the new key's type; else ec-p256"},
    {"--yes", OPTION_YES, false, "--yes              do not ask"},
    {"--depth", OPTION_DEPTH, true, "--depth N          requests under way at a time, 1 to 256; else 1"},
    {"--size", OPTION_SIZE, true, "--size N           bytes of data, up to 1048576; else 32"},
    {"--seconds", OPTION_SECONDS, true, "--seconds N        how long, up to 3600; else 3"},
};

#define SECRET_BYTES_DEFAULT 32
#define DEPTH_MAX            256
#define SIZE_DEFAULT         32
#define SECONDS_DEFAULT      3
#define SECONDS_MAX          3600

#define OPTION_COUNT (sizeof(option_specs) / sizeof(option_specs[0]))

__attribute__((format(printf, 3, 4))) static int fail(struct parse_error *error, const char *hint, const char *format,
                                                      ...)
{
    __builtin_va_list arguments;

    __builtin_va_start(arguments, format);
    vsnprintf(error->text, sizeof(error->text), format, arguments);
    __builtin_va_end(arguments);
    snprintf(error->hint, sizeof(error->hint), "%s", hint);
    return -1;
}

bool parse_number(const char *text, uint32_t *number)
{
    unsigned long long value;
    char *end;

    if (*text < '0' || *text > '9')
        return false;
    errno = 0;
    value = strtoull(text, &end, 10);
    if (*end || errno || value == 0 || value > UINT32_MAX)
        return false;
    *number = (uint32_t)value;
    return true;
}

static bool parse_hex(const char *text, uint8_t *bytes, size_t *size)
{
    size_t digits = strlen(text);

    if (digits == 0 || digits % 2 || digits / 2 > *size)
        return false;
    for (size_t i = 0; i < digits; i++) {
        const char *found = strchr("0123456789abcdef", text[i] | 0x20);
        uint8_t value;

        /* Or-ing the case bit in also maps control characters onto digits. */
        if (!found || (text[i] < '0'))
            return false;
        value = (uint8_t)(found - "0123456789abcdef");
        bytes[i / 2] = (uint8_t)(i % 2 ? bytes[i / 2] | value : value << 4);
    }
    *size = digits / 2;
    return true;
}

static int set_value(const struct option_spec *spec, const char *value, struct options *options,
                     struct parse_error *error)
{
    if (spec->flag == 0 && spec->has_value)
        options->device = value;
    else if (spec->flag == 0)
        options->help = true;
    options->given |= spec->flag;
    if (spec->flag == OPTION_AAD)
        options->aad = value;
    if (spec->flag == OPTION_OAEP_LABEL)
        options->oaep_label = value;
    if (spec->flag == OPTION_PEER)
        options->peer = value;
    if (spec->flag == OPTION_SALT)
        options->salt = value;
    if (spec->flag == OPTION_INFO)
        options->info = value;
    if (spec->flag == OPTION_BYTES && (!parse_number(value, &options->bytes) || options->bytes > VKS_SECRET_BYTES_MAX))
        return fail(error, "1 to 1024", "'%.40s' is not a number of bytes", value);
    if (spec->flag == OPTION_DEPTH && (!parse_number(value, &options->depth) || options->depth > DEPTH_MAX))
        return fail(error, "1 to 256", "'%.40s' is not a number of requests", value);
    if (spec->flag == OPTION_SIZE && (!parse_number(value, &options->size) || options->size > VKS_INPUT_BYTES_MAX))
        return fail(error, "1 to 1048576", "'%.40s' is not a number of bytes", value);
    if (spec->flag == OPTION_SECONDS && (!parse_number(value, &options->seconds) || options->seconds > SECONDS_MAX))
        return fail(error, "1 to 3600", "'%.40s' is not a number of seconds", value);
    if (spec->flag == OPTION_MECHANISM) {
        options->mechanism = vks_mechanism_from_name(value);
        if (!options->mechanism)
            return fail(error, "'vks list' shows the mechanisms of each key", "no mechanism '%.40s'", value);
    }
    if (spec->flag == OPTION_TYPE) {
        options->type = vks_key_type_from_name(value);
        if (!options->type)
            return fail(error, "'vks generate --help' lists the types", "no key type '%.40s'", value);
    }
    if (spec->flag == OPTION_VERSION && !parse_number(value, &options->version))
        return fail(error, "versions count from 1", "'%.40s' is not a key version", value);
    if (spec->flag == OPTION_NONCE) {
        options->nonce_size = sizeof(options->nonce);
        if (!parse_hex(value, options->nonce, &options->nonce_size))
            return fail(error, "12 bytes are 24 hex digits", "'%.40s' is not a nonce in hex", value);
    }
    if (spec->flag == OPTION_TWEAK) {
        options->tweak_size = sizeof(options->tweak);
        if (!parse_hex(value, options->tweak, &options->tweak_size))
            return fail(error, "16 bytes are 32 hex digits", "'%.40s' is not a tweak in hex", value);
    }
    return 0;
}

static const struct option_spec *find_option(const char *word, size_t *name_size)
{
    *name_size = strcspn(word, "=");
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(option_specs[i].name) == *name_size && strncmp(option_specs[i].name, word, *name_size) == 0)
            return &option_specs[i];
    }
    return NULL;
}

/* One option at argv[*at]; *at stays on its last word. */
static int take_option(int argc, const char *const argv[], int *at, struct options *options, struct parse_error *error)
{
    const char *word = argv[*at];
    const char *value = NULL;
    size_t name_size;
    const struct option_spec *spec = strcmp(word, "-h") == 0 ? &option_specs[1] : find_option(word, &name_size);

    if (!spec)
        return fail(error, "'vks --help' lists commands and options", "no option '%.40s'", word);
    if (strcmp(word, "-h") != 0 && word[name_size] == '=')
        value = word + name_size + 1;
    if (value && !spec->has_value)
        return fail(error, "write it without '='", "option %s takes no value", spec->name);
    if (spec->has_value && !value) {
        if (*at + 1 >= argc)
            return fail(error, spec->text, "option %s needs a value", spec->name);
        value = argv[++*at];
    }
    return set_value(spec, value, options, error);
}

static int take_operand(const char *word, const struct command *commands, struct options *options, unsigned int *count,
                        struct parse_error *error)
{
    if (!options->command) {
        for (; commands->name; commands++) {
            if (strcmp(commands->name, word) == 0)
                options->command = commands;
        }
        if (!options->command)
            return fail(error, "'vks --help' lists the commands", "no command '%.40s'", word);
        return 0;
    }
    if (*count >= OPERANDS_MAX || !options->command->operands[*count])
        return fail(error, "data comes on stdin", "%s: '%.40s' is one word too many", options->command->name, word);
    options->operands[(*count)++] = word;
    return 0;
}

/* What could not be said before command and options were both known. */
static int check(const struct options *options, unsigned int operand_count, struct parse_error *error)
{
    const struct command *command = options->command;
    char usage[80];

    if (options->help)
        return 0;
    if (!command)
        return fail(error, "'vks --help' lists the commands", "which command?");
    command_usage(command, usage, sizeof(usage));
    if (operand_count < OPERANDS_MAX && command->operands[operand_count])
        return fail(error, usage, "%s: %s is missing", command->name, command->operands[operand_count]);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (options->given & option_specs[i].flag & ~command->options)
            return fail(error, "'--help' behind the command lists its options", "%s takes no option %s", command->name,
                        option_specs[i].name);
    }
    return 0;
}

int options_parse(int argc, const char *const argv[], const struct command *commands, struct options *options,
                  struct parse_error *error)
{
    unsigned int operand_count = 0;
    bool only_operands = false;

    *options = (struct options){
        .bytes = SECRET_BYTES_DEFAULT,
        .type = VKS_KEY_TYPE_EC_P256,
        .depth = 1,
        .size = SIZE_DEFAULT,
        .seconds = SECONDS_DEFAULT,
    };
    *error = (struct parse_error){0};
    for (int at = 1; at < argc; at++) {
        const char *word = argv[at];

        if (!only_operands && strcmp(word, "--") == 0)
            only_operands = true;
        else if (!only_operands && word[0] == '-' && word[1]) {
            if (take_option(argc, argv, &at, options, error))
                return -1;
        } else if (take_operand(word, commands, options, &operand_count, error)) {
            return -1;
        }
    }
    return check(options, operand_count, error);
}

void command_usage(const struct command *command, char *line, size_t size)
{
    int used = snprintf(line, size, "vks %s", command->name);

    for (unsigned int i = 0; i < OPERANDS_MAX && command->operands[i] && used > 0 && (size_t)used < size; i++)
        used += snprintf(line + used, size - (size_t)used, " %s", command->operands[i]);
}

bool command_option(const struct command *command, unsigned int n, const char **name, const char **text)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option_spec *spec = &option_specs[i];

        if (spec->flag && !(spec->flag & command->options))
            continue;
        if (n-- == 0) {
            *name = spec->name;
            *text = spec->text;
            return true;
        }
    }
    return false;
}
