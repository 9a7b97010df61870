/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line of vks luks. Pure: opens nothing, prints nothing. */
#ifndef VKS_LUKS_OPTIONS_H
#define VKS_LUKS_OPTIONS_H

#include <stdint.h>

#include "failure.h"

#define LUKS_OPERANDS_MAX 2

enum luks_option_flag {
    LUKS_OPTION_KEY_FILE = 1 << 0,
    LUKS_OPTION_JSON = 1 << 1,
    LUKS_OPTION_YES = 1 << 2,
    LUKS_OPTION_READONLY = 1 << 3,
    LUKS_OPTION_ALLOW_DISCARDS = 1 << 4,
    LUKS_OPTION_DEVICE = 1 << 5,
};

struct luks_options;

struct luks_command {
    const char *name;
    const char *operands[LUKS_OPERANDS_MAX]; /* as the usage line names them */
    uint32_t options;                        /* enum luks_option_flag; --help goes with every command */
    const char *summary;
    const char *details; /* what else --help says; NULL: nothing */
    int (*run)(const struct luks_options *options);
};

struct luks_options {
    const struct luks_command *command; /* NULL: only --help was asked for */
    const char *operands[LUKS_OPERANDS_MAX];
    const char *device;   /* of the vault; NULL: vks_open()'s own choice */
    const char *key_file; /* NULL: the passphrase is asked for */
    uint32_t given;       /* enum luks_option_flag */
    bool help;
};

/* @commands ends with a NULL name. Options may stand anywhere, "--" ends them. */
LUKS_MUST_CHECK bool luks_options_parse(int argc, const char *const argv[], const struct luks_command *commands,
                                        struct luks_options *options, struct failure *failure);
/* The n-th option of a command as --help shows it; NULL behind the last. */
const char *luks_command_option(const struct luks_command *command, unsigned int n);

#endif
