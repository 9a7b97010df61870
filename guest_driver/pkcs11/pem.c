/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* memmem */
#include "pem.h"

#include <string.h>

static const char begin_line[] = "-----BEGIN CERTIFICATE-----";
static const char end_line[] = "-----END CERTIFICATE-----";

static void skip(struct pem_text *text, size_t size)
{
    text->at += size;
    text->size -= size;
}

/* Behind the next line that begins a block. */
static bool find_begin(struct pem_text *text)
{
    const char *found = text->size ? memmem(text->at, text->size, begin_line, sizeof(begin_line) - 1) : NULL;

    if (found)
        skip(text, (size_t)(found - text->at) + sizeof(begin_line) - 1);
    return found;
}

static bool is_space(char letter)
{
    return letter == ' ' || (letter >= '\t' && letter <= '\r');
}

/* -1: not of base64 (RFC 4648, 4). */
static int value_of(char letter)
{
    if (letter >= 'A' && letter <= 'Z')
        return letter - 'A';
    if (letter >= 'a' && letter <= 'z')
        return letter - 'a' + 26;
    if (letter >= '0' && letter <= '9')
        return letter - '0' + 52;
    return letter == '+' ? 62 : letter == '/' ? 63 : -1;
}

/* Up to the first letter that is not of base64, of which @text is left. */
static bool decode(struct pem_text *text, uint8_t *data, size_t room, size_t *size)
{
    uint32_t bits = 0;
    size_t letters = 0, padding = 0;

    *size = 0;
    for (; text->size; skip(text, 1)) {
        char letter = *text->at;
        int value = value_of(letter);

        if (is_space(letter))
            continue;
        if (letter == '=' && ++padding <= 2)
            continue;
        if (value < 0)
            break;
        /* Nothing comes behind the padding. */
        if (padding)
            return false;
        bits = bits << 6 | (uint32_t)value;
        if (letters++ % 4 == 0)
            continue;
        if (*size == room)
            return false;
        data[(*size)++] = (uint8_t)(bits >> (6 - 2 * ((letters - 1) % 4)));
    }
    return (letters + padding) % 4 == 0 && *size;
}

bool pem_next(struct pem_text *text, uint8_t *data, size_t room, size_t *size)
{
    while (find_begin(text)) {
        /* What was read of a block holds no beginning of another one: a dash ends it. */
        if (decode(text, data, room, size) && text->size >= sizeof(end_line) - 1 &&
            memcmp(text->at, end_line, sizeof(end_line) - 1) == 0) {
            skip(text, sizeof(end_line) - 1);
            return true;
        }
    }
    return false;
}
