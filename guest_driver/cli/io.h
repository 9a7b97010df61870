/* SPDX-License-Identifier: BSD-3-Clause */
/* What the commands share to speak with the outside: data in and out, complaints, text for people and for programs. */
#ifndef VKS_CLI_IO_H
#define VKS_CLI_IO_H

#include "vks.h"

struct buffer {
    uint8_t *data;
    size_t size;
};

/* Everything from a file or, with NULL, from stdin; -E2BIG above @limit bytes. The caller frees, by buffer_free(). */
VKS_MUST_CHECK int buffer_read(const char *path, size_t limit, struct buffer *buffer);
VKS_MUST_CHECK int buffer_alloc(size_t size, struct buffer *buffer);
void buffer_free(struct buffer *buffer); /* wipes: it may hold plaintext */
/* Writes all of it to stdout; 0, or a negative errno. */
VKS_MUST_CHECK int output_write(const void *data, size_t size);
VKS_MUST_CHECK int output_write_pem(const char *kind, const void *der, size_t size);
/* A file of the owner's alone that was not there before; a descriptor, or a negative errno. */
VKS_MUST_CHECK int file_create(const char *path);
/* Writes all of it, onto the disk, and closes @fd whatever happens; 0, or a negative errno. */
VKS_MUST_CHECK int file_finish(int fd, const void *data, size_t size);
/* Flushes stdout: what could not be written must not pass as success. */
VKS_MUST_CHECK int output_end(void);

/* "vks: CONTEXT: TEXT" and a hint line; gives the exit status 1. */
int complain(const char *context, int error);
int complain_words(const char *context, const char *text, const char *hint);

/* "VERB LABEL WARNING; type yes: " to stderr, the answer from stdin; false for anything else than yes. */
VKS_MUST_CHECK bool confirm(const char *verb, const char *label, const char *warning);

/* Text from elsewhere: control characters escaped, so that it cannot play with the terminal. */
void print_text(const char *text);
void json_text(const char *text);
void hex_text(const uint8_t *bytes, size_t size, char *text); /* 2 * size + 1 characters */

#endif
