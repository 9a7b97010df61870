/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands of vks luks; each prints its own complaints and returns the exit status. */
#ifndef VKS_LUKS_COMMANDS_H
#define VKS_LUKS_COMMANDS_H

#include "options.h"

int luks_enroll(const struct luks_options *options);
int luks_list(const struct luks_options *options);
int luks_check(const struct luks_options *options);
int luks_open(const struct luks_options *options);
int luks_secret(const struct luks_options *options);
int luks_renew(const struct luks_options *options);
int luks_remove(const struct luks_options *options);

/* "vks: luks: TEXT" and its hint; gives the exit status 1. */
int luks_complain(const struct failure *failure);

#endif
