/* SPDX-License-Identifier: BSD-3-Clause */
/* Texts of PKCS#11: of a fixed size, padded with blanks, without a NUL. */
#ifndef PKCS11_TEXT_H
#define PKCS11_TEXT_H

#include <stddef.h>
#include <string.h>

/* A text that is too long is cut, though not within a character of UTF-8. */
static inline void text_pad(unsigned char *field, size_t size, const char *text)
{
    size_t length = strlen(text);

    if (length > size) {
        length = size;
        while (length && ((unsigned char)text[length] & 0xc0) == 0x80)
            length--;
    }
    memset(field, ' ', size);
    memcpy(field, text, length);
}

#endif
