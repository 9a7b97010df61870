/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* explicit_bzero */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io.h"

int buffer_alloc(size_t size, struct buffer *buffer)
{
    /* One byte more: an empty buffer has an address too. */
    *buffer = (struct buffer){.data = calloc(1, size + 1), .size = size};
    return buffer->data ? 0 : -ENOMEM;
}

void buffer_free(struct buffer *buffer)
{
    if (buffer->data)
        explicit_bzero(buffer->data, buffer->size);
    free(buffer->data);
    *buffer = (struct buffer){0};
}

/* Reads into the whole of @buffer, whose size becomes what was read; -E2BIG if that filled it. */
static int read_all(int fd, struct buffer *buffer)
{
    size_t room = buffer->size;

    buffer->size = 0;
    while (buffer->size < room) {
        ssize_t got = read(fd, buffer->data + buffer->size, room - buffer->size);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : 0;
        buffer->size += (size_t)got;
    }
    return -E2BIG;
}

int buffer_read(const char *path, size_t limit, struct buffer *buffer)
{
    int fd = path ? open(path, O_RDONLY | O_CLOEXEC) : STDIN_FILENO;
    int error;

    *buffer = (struct buffer){0};
    if (fd < 0)
        return -errno;
    error = buffer_alloc(limit + 1, buffer);
    if (!error)
        error = read_all(fd, buffer);
    if (path)
        close(fd);
    if (error)
        buffer_free(buffer);
    return error;
}

int file_create(const char *path)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);

    return fd < 0 ? -errno : fd;
}

int file_finish(int fd, const void *data, size_t size)
{
    const uint8_t *at = data;
    int error = 0;

    while (size && !error) {
        ssize_t put = write(fd, at, size);

        if (put < 0 && errno != EINTR)
            error = -errno;
        if (put > 0) {
            at += put;
            size -= (size_t)put;
        }
    }
    if (!error && fsync(fd))
        error = -errno;
    if (close(fd) && !error)
        error = -errno;
    return error;
}

int output_write(const void *data, size_t size)
{
    return fwrite(data, 1, size, stdout) == size ? 0 : -errno;
}

int output_write_pem(const char *kind, const void *der, size_t size)
{
    static const char alphabet[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const uint8_t *at = der;

    printf("-----BEGIN %s-----\n", kind);
    for (size_t i = 0; i < size; i += 3) {
        uint32_t group = (uint32_t)at[i] << 16;

        if (i + 1 < size)
            group |= (uint32_t)at[i + 1] << 8;
        if (i + 2 < size)
            group |= at[i + 2];
        putchar(alphabet[group >> 18]);
        putchar(alphabet[group >> 12 & 63]);
        putchar(i + 1 < size ? alphabet[group >> 6 & 63] : '=');
        putchar(i + 2 < size ? alphabet[group & 63] : '=');
        /* RFC 7468: 64 characters a line. */
        if (i + 3 >= size || (i + 3) % 48 == 0)
            putchar('\n');
    }
    printf("-----END %s-----\n", kind);
    return ferror(stdout) ? -EIO : 0;
}

int output_end(void)
{
    return fflush(stdout) || ferror(stdout) ? -(errno ? errno : EIO) : 0;
}

int complain_words(const char *context, const char *text, const char *hint)
{
    fprintf(stderr, "vks: %s: %s\n", context, text);
    if (hint)
        fprintf(stderr, "hint: %s\n", hint);
    return 1;
}

int complain(const char *context, int error)
{
    return complain_words(context, vks_error_text(error), vks_error_hint(error));
}

static void put_text(FILE *stream, const char *text)
{
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c < 0x20 || c == 0x7f)
            fprintf(stream, "\\x%02x", c);
        else
            putc(c, stream);
    }
}

void print_text(const char *text)
{
    put_text(stdout, text);
}

bool confirm(const char *verb, const char *label, const char *warning)
{
    char line[16] = "";

    fprintf(stderr, "%s ", verb);
    put_text(stderr, label);
    fprintf(stderr, " %s; type yes: ", warning);
    fflush(stderr);
    if (!fgets(line, sizeof(line), stdin))
        return false;
    line[strcspn(line, "\n")] = '\0';
    return strcmp(line, "yes") == 0;
}

void json_text(const char *text)
{
    putchar('"');
    for (; *text; text++) {
        unsigned char c = (unsigned char)*text;

        if (c == '"' || c == '\\')
            printf("\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            printf("\\u%04x", c);
        else
            putchar(c);
    }
    putchar('"');
}

void hex_text(const uint8_t *bytes, size_t size, char *text)
{
    for (size_t i = 0; i < size; i++)
        snprintf(text + 2 * i, 3, "%02x", bytes[i]);
    text[2 * size] = '\0';
}
