/* SPDX-License-Identifier: BSD-3-Clause */
/* The commands; each prints its own complaints and returns the exit status. */
#ifndef VKS_CLI_COMMANDS_H
#define VKS_CLI_COMMANDS_H

#include "options.h"

int command_info(const struct options *options);
int command_list(const struct options *options);
int command_public(const struct options *options);
int command_sign(const struct options *options);
int command_verify(const struct options *options);
int command_encrypt(const struct options *options);
int command_decrypt(const struct options *options);
int command_mac(const struct options *options);
int command_mac_verify(const struct options *options);
int command_derive(const struct options *options);
int command_data_key(const struct options *options);
int command_paes(const struct options *options);
int command_decapsulate(const struct options *options);
int command_generate(const struct options *options);
int command_rotate(const struct options *options);
int command_destroy(const struct options *options);
int command_random(const struct options *options);
int command_bench(const struct options *options);
int command_doctor(const struct options *options);
int command_luks(const struct options *options);
/* Becomes vks-luks with what stands behind 'luks'; returns only where that fails, with the exit status. */
int luks_run(char *const argv[]);

#endif
