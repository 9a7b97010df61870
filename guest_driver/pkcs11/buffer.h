/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes gathered over several calls. Whatever was in them is wiped, also when they move. */
#ifndef PKCS11_BUFFER_H
#define PKCS11_BUFFER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "cryptoki.h"

struct buffer {
    uint8_t *data;
    size_t size;
    size_t room;
};

/* CKR_DATA_LEN_RANGE above @size_max bytes in all. */
CK_RV buffer_append(struct buffer *buffer, const void *data, size_t size, size_t size_max);
void buffer_clear(struct buffer *buffer);

#endif
