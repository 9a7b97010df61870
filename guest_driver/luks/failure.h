/* SPDX-License-Identifier: BSD-3-Clause */
/* What went wrong, in words, for whoever shows it: the command on stderr, the plugin by cryptsetup's log. */
#ifndef VKS_LUKS_FAILURE_H
#define VKS_LUKS_FAILURE_H

#include <stdbool.h>

/* Where no program left the disk so. */
#define TAMPERED_HINT "nobody who enrolled the disk left it so: look at who can write it"

#define LUKS_MUST_CHECK __attribute__((warn_unused_result))

struct failure {
    char text[240];
    char hint[240]; /* what to do about it; empty: nothing helps */
    int error;      /* negative errno, for those who ask in numbers; never 0 after a failure */
};

/* Fills it in; gives false, so that a failing function can end with it. @hint may be NULL. */
__attribute__((format(printf, 4, 5))) bool fail(struct failure *failure, int error, const char *hint,
                                                const char *format, ...);

#endif
