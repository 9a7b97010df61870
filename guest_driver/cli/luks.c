/* SPDX-License-Identifier: BSD-3-Clause */
/* 'vks luks': a program of its own does it, which needs more than the C library. */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "commands.h"
#include "io.h"

#define PROGRAM "vks-luks"

int luks_run(char *const argv[])
{
    execvp(PROGRAM, argv);
    if (errno == ENOENT)
        return complain_words("luks", "there is no program " PROGRAM, "it is in the package " PROGRAM);
    return complain_words("luks", strerror(errno), NULL);
}

/* Where options stood before the word. */
int command_luks(const struct options *options)
{
    (void)options;
    complain_words("usage", "'luks' has to come first", "vks luks COMMAND [OPTION...]");
    return 2;
}
