/* SPDX-License-Identifier: BSD-3-Clause */
/* The command line: which command, its operands and options. Pure: opens nothing, prints nothing. */
#ifndef VKS_CLI_OPTIONS_H
#define VKS_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define OPERANDS_MAX 2

enum option_flag {
    OPTION_JSON = 1 << 0,
    OPTION_MECHANISM = 1 << 1,
    OPTION_VERSION = 1 << 2,
    OPTION_DIGEST = 1 << 3,
    OPTION_RAW = 1 << 4,
    OPTION_DER = 1 << 5,
    OPTION_AAD = 1 << 6,
    OPTION_NONCE = 1 << 7,
    OPTION_OAEP_LABEL = 1 << 8,
    OPTION_TWEAK = 1 << 9,
    OPTION_PEER = 1 << 10,
    OPTION_SALT = 1 << 11,
    OPTION_INFO = 1 << 12,
    OPTION_BYTES = 1 << 13,
    OPTION_TYPE = 1 << 14,
    OPTION_YES = 1 << 15,
    OPTION_DEPTH = 1 << 16,
    OPTION_SIZE = 1 << 17,
    OPTION_SECONDS = 1 << 18,
};

struct options;

struct command {
    const char *name;
    const char *operands[OPERANDS_MAX]; /* as the usage line names them */
    uint32_t options;                   /* enum option_flag; --device and --help go with every command */
    const char *summary;
    const char *details; /* what else --help says; NULL: nothing */
    int (*run)(const struct options *options);
};

struct options {
    const struct command *command; /* NULL: only --help or nothing was asked for */
    const char *operands[OPERANDS_MAX];
    const char *device;
    const char *aad;
    const char *oaep_label;
    const char *peer; /* a file */
    const char *salt;
    const char *info;
    uint8_t nonce[16];
    size_t nonce_size;
    uint8_t tweak[16];
    size_t tweak_size;
    uint32_t given; /* enum option_flag */
    uint32_t mechanism;
    uint32_t version;
    uint32_t bytes; /* of a secret; 32 where --bytes was not given */
    uint32_t type;  /* enum vks_key_type of a new key */
    uint32_t depth; /* requests under way, size of their input in bytes, and for how long */
    uint32_t size;
    uint32_t seconds;
    bool help;
};

struct parse_error {
    char text[160];
    char hint[160];
};

/* @commands ends with a NULL name. 0, or -1 with @error filled in. */
__attribute__((warn_unused_result)) int options_parse(int argc, const char *const argv[],
                                                      const struct command *commands, struct options *options,
                                                      struct parse_error *error);

/* "vks sign KEY", into @line. */
void command_usage(const struct command *command, char *line, size_t size);
/* The n-th option of a command as --help shows it; false behind the last. */
bool command_option(const struct command *command, unsigned int n, const char **name, const char **text);
/* 1 to UINT32_MAX, decimal, nothing around it. */
__attribute__((warn_unused_result)) bool parse_number(const char *text, uint32_t *number);

#endif
