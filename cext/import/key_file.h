/* SPDX-License-Identifier: Apache-2.0 */
/* Key files: PEM, DER, PKCS#8 (plain or encrypted), the traditional forms, raw. */
#ifndef VKS_KEY_FILE_H
#define VKS_KEY_FILE_H

#include "arguments.h"
#include "secret_input.h"

struct vks_key_file {
    const struct vks_key_kind *kind;
    uint8_t *material; /* in the arena, in the form of key_material.h */
    size_t material_bytes;
};

/* 0, or an exit code after saying what is wrong. */
__attribute__((warn_unused_result)) int vks_key_file_parse(const struct vks_import_arguments *arguments,
                                                           const struct vks_secret_input *file,
                                                           struct vks_key_file *key);

#endif
