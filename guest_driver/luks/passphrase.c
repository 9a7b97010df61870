/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* sigaction */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <unistd.h>

#include "passphrase.h"

/* cryptsetup's own limits, in bytes. */
#define KEY_FILE_BYTES_MAX (8u << 20)
#define LINE_BYTES_MAX     512u

static volatile sig_atomic_t is_interrupted;

static void interrupted(int number)
{
    (void)number;
    is_interrupted = 1;
}

/* Up to a newline, which is left out, or the end. Byte by byte: what follows is not ours. */
static int line_read(struct buffer *line)
{
    size_t size = 0;
    int error = buffer_alloc(LINE_BYTES_MAX, line);

    while (!error) {
        uint8_t byte;
        ssize_t got = read(STDIN_FILENO, &byte, 1);

        if (got < 0 && errno == EINTR && !is_interrupted)
            continue;
        if (got < 0)
            error = -errno;
        else if (got == 0 || byte == '\n')
            break;
        else if (size == LINE_BYTES_MAX)
            error = -E2BIG;
        else
            line->data[size++] = byte;
    }
    if (error)
        buffer_free(line);
    else
        line->size = size;
    return error;
}

/* The terminal is as it was on return, also when it is interrupted; that is -EINTR. */
static int terminal_read(const char *disk, struct buffer *line)
{
    static const int signals[] = {SIGINT, SIGTERM, SIGQUIT, SIGTSTP};
    enum { SIGNAL_COUNT = sizeof(signals) / sizeof(signals[0]) };
    struct sigaction kept[SIGNAL_COUNT];
    struct sigaction action = {.sa_handler = interrupted};
    struct termios shown, hidden;
    int error;

    if (tcgetattr(STDIN_FILENO, &shown))
        return -errno;
    hidden = shown;
    hidden.c_lflag &= (tcflag_t)~ECHO;
    hidden.c_lflag |= ECHONL;
    for (int i = 0; i < SIGNAL_COUNT; i++)
        sigaction(signals[i], &action, &kept[i]);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &hidden);
    /* Not before: what is typed at once would be thrown away, or shown. */
    fprintf(stderr, "passphrase of %s: ", disk);
    fflush(stderr);
    error = line_read(line);
    tcsetattr(STDIN_FILENO, TCSAFLUSH, &shown);
    for (int i = 0; i < SIGNAL_COUNT; i++)
        sigaction(signals[i], &kept[i], NULL);
    return error;
}

bool passphrase_read(const char *key_file, const char *disk, struct buffer *passphrase, struct failure *failure)
{
    const char *source = "stdin";
    int error;

    *passphrase = (struct buffer){0};
    if (key_file && strcmp(key_file, "-") != 0) {
        source = key_file;
        error = buffer_read(key_file, KEY_FILE_BYTES_MAX, passphrase);
    } else if (key_file) {
        error = buffer_read(NULL, KEY_FILE_BYTES_MAX, passphrase);
    } else if (isatty(STDIN_FILENO)) {
        error = terminal_read(disk, passphrase);
    } else {
        error = line_read(passphrase);
    }
    if (error == -EINTR)
        return fail(failure, error, NULL, "interrupted; nothing was changed");
    if (error)
        return fail(failure, error, NULL, "no passphrase from %.120s: %s", source,
                    error == -E2BIG ? "too long" : strerror(-error));
    if (passphrase->size)
        return true;
    buffer_free(passphrase);
    return fail(failure, -EINVAL, "a passphrase or key file that opens the disk already has to be given",
                "no passphrase from %.120s", source);
}
