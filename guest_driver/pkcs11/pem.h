/* SPDX-License-Identifier: BSD-3-Clause */
/* Certificates in a text (RFC 7468, 5), with whatever is written between them. */
#ifndef PKCS11_PEM_H
#define PKCS11_PEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The part of a text that nobody has looked at yet. It need not end with a NUL. */
struct pem_text {
    const char *at;
    size_t size;
};

/*
 * The next block with the label CERTIFICATE out of @text, decoded into @data, which has room for @room bytes; @size
 * gets their number. A block that is broken, or larger than that, is passed over. False: there is none left.
 */
bool pem_next(struct pem_text *text, uint8_t *data, size_t room, size_t *size);

#endif
