/* SPDX-License-Identifier: BSD-3-Clause */
/* What 'vks doctor' finds: sysfs and /dev as files under a root folder, or a guest's socket. */
#ifndef VKS_CLI_DOCTOR_H
#define VKS_CLI_DOCTOR_H

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

/* @root is "" on a real system. */
void doctor_examine(const char *root, struct findings *findings);
/* Whether the kernel module is loaded, and what to do if not. */
bool doctor_examine_module(const char *root, struct findings *findings);
void doctor_examine_socket(const char *path, struct findings *findings);
__attribute__((format(printf, 4, 5))) void doctor_note(struct findings *findings, bool is_ok, const char *hint,
                                                       const char *format, ...);

#endif
