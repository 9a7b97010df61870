/* SPDX-License-Identifier: BSD-3-Clause */
/* What 'vks doctor' finds: sysfs and /dev as files under a root folder, or a guest's socket. */
#ifndef VKS_CLI_DOCTOR_H
#define VKS_CLI_DOCTOR_H

#include "findings.h"

/* @root is "" on a real system. */
void doctor_examine(const char *root, struct findings *findings);
/* Whether the kernel module is loaded, and what to do if not. */
bool doctor_examine_module(const char *root, struct findings *findings);
void doctor_examine_socket(const char *path, struct findings *findings);

#endif
