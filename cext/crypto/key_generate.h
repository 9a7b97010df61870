/* SPDX-License-Identifier: Apache-2.0 */
/* Fresh key material of every type. */
#ifndef VKS_KEY_GENERATE_H
#define VKS_KEY_GENERATE_H

#include <stddef.h>
#include <stdint.h>

#include "key_kind.h"

/* In the arena, for vks_secret_free, in the form of key_material.h. 0 or a negative errno. */
__attribute__((warn_unused_result)) int vks_key_generate(const struct vks_key_kind *kind, uint8_t **material,
                                                         size_t *material_bytes);

#endif
