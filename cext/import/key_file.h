/* SPDX-License-Identifier: Apache-2.0 */
/* Key files: PEM, DER, PKCS#8 (plain or encrypted), the traditional forms, raw. */
#ifndef VKS_KEY_FILE_H
#define VKS_KEY_FILE_H

#include <openssl/evp.h>

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

/* A key that was decoded, as material: of a type that the vault takes and that was asked for. The same codes. */
__attribute__((warn_unused_result)) int vks_key_file_take(const struct vks_import_arguments *arguments, EVP_PKEY *pkey,
                                                          struct vks_key_file *key);

#endif
