/* SPDX-License-Identifier: Apache-2.0 */
/* A PIN from its file into secret memory. */
#ifndef VKS_TOKEN_PIN_H
#define VKS_TOKEN_PIN_H

#include <stddef.h>
#include <stdint.h>

#include "hsm_error.h"

enum vks_token_pin_limit {
    VKS_TOKEN_PIN_BYTES_MAX = 255,
};

/*
 * The first line of the file behind *fd*, without its end; the descriptor's position is not used, so that it can be
 * read over and over. *pin* is for vks_secret_free. VKS_HSM_OK, VKS_HSM_OURS, VKS_HSM_PIN_FILE, or VKS_HSM_PIN_BYTES
 * for a line that is empty or too long.
 */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_token_pin_read(int fd, uint8_t **pin, size_t *pin_bytes);

#endif
