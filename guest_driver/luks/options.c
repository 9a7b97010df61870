/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <stddef.h>
#include <string.h>

#include "options.h"

static const struct {
    const char *name;
    uint32_t flag; /* enum luks_option_flag; 0: --help */
    bool has_value;
    const char *text;
} specs[] = {
    {"--device", LUKS_OPTION_DEVICE, true,
     "--device PATH      the vault's: /dev/keystore*, or vhost-user:SOCKET on the host; else $VKS_DEVICE, else the "
     "first "
     "/dev/keystore*"},
    {"--key-file", LUKS_OPTION_KEY_FILE, true,
     "--key-file FILE    what opens the disk already, all of FILE (-: stdin); else a passphrase is asked for"},
    {"--readonly", LUKS_OPTION_READONLY, false, "--readonly         the opened disk cannot be written"},
    {"--allow-discards", LUKS_OPTION_ALLOW_DISCARDS, false,
     "--allow-discards   TRIM goes through: tells whoever sees the disk which blocks are in use"},
    {"--yes", LUKS_OPTION_YES, false, "--yes              do not ask"},
    {"--json", LUKS_OPTION_JSON, false, "--json             facts as JSON"},
    {"--help", 0, false, "--help             this text"},
};

#define SPEC_COUNT (sizeof(specs) / sizeof(specs[0]))

static bool take_option(int argc, const char *const argv[], int *at, struct luks_options *options,
                        struct failure *failure)
{
    const char *word = strcmp(argv[*at], "-h") == 0 ? "--help" : argv[*at];
    size_t name_size = strcspn(word, "=");
    const char *value = word[name_size] == '=' ? word + name_size + 1 : NULL;
    size_t i = 0;

    while (i < SPEC_COUNT && (strlen(specs[i].name) != name_size || strncmp(specs[i].name, word, name_size) != 0))
        i++;
    if (i == SPEC_COUNT)
        return fail(failure, -EINVAL, "'vks luks COMMAND --help' lists them", "no option '%.40s'", word);
    if (value && !specs[i].has_value)
        return fail(failure, -EINVAL, NULL, "option %s takes no value", specs[i].name);
    if (specs[i].has_value && !value) {
        if (*at + 1 >= argc)
            return fail(failure, -EINVAL, specs[i].text, "option %s needs a value", specs[i].name);
        value = argv[++*at];
    }
    options->given |= specs[i].flag;
    if (specs[i].flag == 0)
        options->help = true;
    if (specs[i].flag == LUKS_OPTION_DEVICE)
        options->device = value;
    if (specs[i].flag == LUKS_OPTION_KEY_FILE)
        options->key_file = value;
    return true;
}

static bool take_word(const char *word, const struct luks_command *commands, unsigned int *count,
                      struct luks_options *options, struct failure *failure)
{
    if (!options->command) {
        while (commands->name && strcmp(commands->name, word) != 0)
            commands++;
        if (!commands->name)
            return fail(failure, -EINVAL, "'vks luks --help' lists the commands", "no command '%.40s'", word);
        options->command = commands;
        return true;
    }
    if (*count >= LUKS_OPERANDS_MAX || !options->command->operands[*count])
        return fail(failure, -EINVAL, NULL, "%s: '%.40s' is one word too many", options->command->name, word);
    options->operands[(*count)++] = word;
    return true;
}

bool luks_options_parse(int argc, const char *const argv[], const struct luks_command *commands,
                        struct luks_options *options, struct failure *failure)
{
    bool only_words = false;
    unsigned int count = 0;

    *options = (struct luks_options){0};
    for (int at = 1; at < argc; at++) {
        bool is_taken = true;

        if (!only_words && strcmp(argv[at], "--") == 0)
            only_words = true;
        else if (!only_words && argv[at][0] == '-' && argv[at][1])
            is_taken = take_option(argc, argv, &at, options, failure);
        else
            is_taken = take_word(argv[at], commands, &count, options, failure);
        if (!is_taken)
            return false;
    }
    if (options->help)
        return true;
    if (!options->command)
        return fail(failure, -EINVAL, "'vks luks --help' lists the commands", "which command?");
    if (count < LUKS_OPERANDS_MAX && options->command->operands[count])
        return fail(failure, -EINVAL, NULL, "%s: %s is missing", options->command->name,
                    options->command->operands[count]);
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if (options->given & specs[i].flag & ~options->command->options)
            return fail(failure, -EINVAL, "'--help' behind the command lists its options", "%s takes no option %s",
                        options->command->name, specs[i].name);
    }
    return true;
}

const char *luks_command_option(const struct luks_command *command, unsigned int n)
{
    for (size_t i = 0; i < SPEC_COUNT; i++) {
        if (specs[i].flag && !(specs[i].flag & command->options))
            continue;
        if (n-- == 0)
            return specs[i].text;
    }
    return NULL;
}
