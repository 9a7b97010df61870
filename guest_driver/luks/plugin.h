/* SPDX-License-Identifier: BSD-3-Clause */
/* What libcryptsetup looks for in a plugin; it has no header for that. */
#ifndef VKS_LUKS_PLUGIN_H
#define VKS_LUKS_PLUGIN_H

#include <libcryptsetup.h>

const char *cryptsetup_token_version(void);
int cryptsetup_token_validate(struct crypt_device *header, const char *json);
int cryptsetup_token_open(struct crypt_device *header, int number, char **buffer, size_t *buffer_size, void *unused);
void cryptsetup_token_buffer_free(void *buffer, size_t buffer_size);
void cryptsetup_token_dump(struct crypt_device *header, const char *json);

#endif
