/* SPDX-License-Identifier: BSD-3-Clause */
/* A list of what was found, each good or not, and what to do about it. */
#ifndef VKS_CLI_FINDINGS_H
#define VKS_CLI_FINDINGS_H

#include <stdbool.h>
#include <stddef.h>

#define FINDINGS_MAX 32

struct finding {
    bool is_ok;
    char text[200];
    char hint[300]; /* empty: nothing to do */
};

struct findings {
    struct finding list[FINDINGS_MAX];
    size_t count;
};

/* What does not fit is left out. */
__attribute__((format(printf, 4, 5))) void findings_add(struct findings *findings, bool is_ok, const char *hint,
                                                        const char *format, ...);

#endif
