/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* explicit_bzero */
#include "buffer.h"

#include <stdlib.h>
#include <string.h>

CK_RV buffer_append(struct buffer *buffer, const void *data, size_t size, size_t size_max)
{
    if (size > size_max || buffer->size > size_max - size)
        return CKR_DATA_LEN_RANGE;
    if (size > buffer->room - buffer->size) {
        size_t room = buffer->room ? buffer->room : 256;
        uint8_t *moved;

        while (room < buffer->size + size)
            room *= 2;
        /* No realloc(): it leaves the old bytes behind. */
        moved = malloc(room);
        if (!moved)
            return CKR_HOST_MEMORY;
        if (buffer->size)
            memcpy(moved, buffer->data, buffer->size);
        if (buffer->data)
            explicit_bzero(buffer->data, buffer->size);
        free(buffer->data);
        buffer->data = moved;
        buffer->room = room;
    }
    if (size)
        memcpy(buffer->data + buffer->size, data, size);
    buffer->size += size;
    return CKR_OK;
}

void buffer_clear(struct buffer *buffer)
{
    if (buffer->data)
        explicit_bzero(buffer->data, buffer->size);
    free(buffer->data);
    *buffer = (struct buffer){0};
}
