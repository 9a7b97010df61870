/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a KEK is told by: the first 8 bytes of SHA-256("vmm-keystore kek id 1\n" | KEK). A hash of 32 random bytes gives
 * nothing away.
 */
#ifndef VKS_KEK_ID_H
#define VKS_KEK_ID_H

#include <stdint.h>

#include "root_file.h"

enum vks_kek_id_limit {
    VKS_KEK_ID_BYTES = 8,
};

/* 0 or -EIO. */
__attribute__((warn_unused_result)) int vks_kek_id(const uint8_t kek[VKS_KEK_BYTES], uint8_t id[VKS_KEK_ID_BYTES]);

#endif
