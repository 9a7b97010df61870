/* SPDX-License-Identifier: BSD-3-Clause */
/* vks-luks: disks that the vault unlocks. What 'vks luks' runs: a program of its own, so that vks needs libc alone. */
#include <stdio.h>
#include <string.h>

#include "commands.h"
#include "io.h"

static const struct luks_command commands[] = {
    {"enroll",
     {"DISK", "KEY"},
     LUKS_OPTION_KEY_FILE | LUKS_OPTION_DEVICE,
     "have the vault open this disk from now on, too",
     "Adds a keyslot for a new secret of the vault, and a token with the secret's sealed form; what opened the disk\n"
     "before still does. KEY is of an AES or ChaCha20-Poly1305 type, and its grant has data-key, decrypt and release.",
     luks_enroll},
    {"list", {"DISK"}, LUKS_OPTION_JSON, "the vault's tokens in the header", NULL, luks_list},
    {"check",
     {"DISK"},
     LUKS_OPTION_DEVICE,
     "find out whether the vault opens this disk now",
     "Changes and opens nothing; the vault records it as it does any use.",
     luks_check},
    {"open",
     {"DISK", "NAME"},
     LUKS_OPTION_READONLY | LUKS_OPTION_ALLOW_DISCARDS | LUKS_OPTION_DEVICE,
     "open it as /dev/mapper/NAME",
     "'cryptsetup close NAME' closes it. 'cryptsetup open DISK NAME' does the same by the vault's plugin, and then "
     "asks\n"
     "for a passphrase where the vault refuses.",
     luks_open},
    {"renew",
     {"DISK"},
     LUKS_OPTION_DEVICE,
     "exchange the secret for a new one, of the key's current version",
     "After the key was rotated, say. Until the new one is written the old one opens the disk.",
     luks_renew},
    {"remove",
     {"DISK"},
     LUKS_OPTION_YES,
     "take the vault's keyslot and token out of the header",
     "Not where nothing else opens the disk. Needs no vault.",
     luks_remove},
    {"secret",
     {"DISK"},
     LUKS_OPTION_DEVICE,
     "what opens the keyslot, to stdout: for scripts at boot",
     "32 raw bytes, after they were tried.",
     luks_secret},
    {0},
};

int luks_complain(const struct failure *failure)
{
    return complain_words("luks", failure->text, failure->hint[0] ? failure->hint : NULL);
}

static void command_line(const struct luks_command *command, char *line, size_t size)
{
    int used = snprintf(line, size, "%s", command->name);

    for (unsigned int i = 0; i < LUKS_OPERANDS_MAX && command->operands[i] && used > 0 && (size_t)used < size; i++)
        used += snprintf(line + used, size - (size_t)used, " %s", command->operands[i]);
}

static void print_help(void)
{
    char line[80];

    puts("usage: vks luks COMMAND [OPTION...]\n\nDisks with a LUKS2 header (a block device or file) that the host's "
         "vault "
         "unlocks.\n\ncommands:");
    for (const struct luks_command *command = commands; command->name; command++) {
        command_line(command, line, sizeof(line));
        printf("  %-18s %s\n", line, command->summary);
    }
    puts("\n'vks luks COMMAND --help' lists the options of a command.");
}

static void print_command_help(const struct luks_command *command)
{
    char line[80];
    const char *text;

    command_line(command, line, sizeof(line));
    printf("usage: vks luks %s [OPTION...]\n\n%s\n\noptions:\n", line, command->summary);
    for (unsigned int n = 0; (text = luks_command_option(command, n)); n++)
        printf("  %s\n", text);
    if (command->details)
        printf("\n%s\n", command->details);
}

int main(int argc, char *argv[])
{
    struct luks_options options;
    struct failure failure;
    int status = 0;

    if (!luks_options_parse(argc, (const char *const *)argv, commands, &options, &failure)) {
        (void)luks_complain(&failure);
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
