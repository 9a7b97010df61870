/* SPDX-License-Identifier: Apache-2.0 */
/* Secrets from outside, read straight into the arena: key files and passphrases. */
#ifndef VKS_SECRET_INPUT_H
#define VKS_SECRET_INPUT_H

#include <stddef.h>
#include <stdint.h>

#include "arguments.h"

enum vks_secret_input_limit {
    VKS_KEY_FILE_BYTES_MAX = 65536,
    VKS_PASSPHRASE_BYTES_MAX = 1024,
};

/* In the arena, with a zero behind it; for vks_secret_free. */
struct vks_secret_input {
    uint8_t *bytes;
    size_t size_bytes;
};

/* 0, or an exit code after saying what is wrong. */
__attribute__((warn_unused_result)) int vks_secret_input_file(const char *path, struct vks_secret_input *input);
/* From where the arguments say, else from the terminal; one line, its end is not part of it. */
__attribute__((warn_unused_result)) int vks_secret_input_passphrase(const struct vks_import_arguments *arguments,
                                                                    struct vks_secret_input *passphrase);

#endif
