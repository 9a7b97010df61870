/* SPDX-License-Identifier: Apache-2.0 */
/* Reading of secrets. Knows descriptors and the terminal; must not know keys. Uses no stdio: it buffers in the heap. */
#include "secret_input.h"

#include <errno.h>
#include <fcntl.h>
#include <openssl/crypto.h>
#include <string.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "failure.h"
#include "file_status.h"
#include "secret_arena.h"

enum {
    CONTROL_C = 3,
    CONTROL_D = 4,
    BACKSPACE = 8,
    CONTROL_U = 21,
    DELETE = 127,
};

static int no_memory(void)
{
    return vks_import_fail(VKS_IMPORT_INTERNAL, "raise the limit on locked memory (ulimit -l)", "out of secret memory");
}

/* Everything up to the end; 0 or a negative errno, -EFBIG when there is more than *bytes_max*. */
static int read_all(int fd, size_t bytes_max, struct vks_secret_input *input)
{
    input->size_bytes = 0;
    input->bytes = vks_secret_alloc(bytes_max + 1);
    if (input->bytes == NULL)
        return -ENOMEM;
    for (;;) {
        ssize_t part = read(fd, input->bytes + input->size_bytes, bytes_max + 1 - input->size_bytes);

        if (part == 0)
            break;
        if (part < 0 && errno != EINTR)
            return -errno;
        input->size_bytes += part > 0 ? (size_t)part : 0;
        if (input->size_bytes > bytes_max)
            return -EFBIG;
    }
    input->bytes[input->size_bytes] = 0;
    return 0;
}

static int open_path(const char *path)
{
    struct stat st;
    int fd;

    if (strcmp(path, "-") == 0)
        return STDIN_FILENO;
    fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
    if (fd < 0)
        return -errno;
    if (vks_file_status(fd, &st) == 0 && S_ISDIR(st.st_mode)) {
        close(fd);
        return -EISDIR;
    }
    return fd;
}

static int cannot_read(const char *what, int error)
{
    if (error == -ENOMEM)
        return no_memory();
    return vks_import_fail(VKS_IMPORT_CANNOT_READ, NULL, "cannot read %s: %s", what, strerror(-error));
}

int vks_secret_input_file(const char *path, struct vks_secret_input *input)
{
    int fd = open_path(path);
    int error;

    *input = (struct vks_secret_input){NULL, 0};
    if (fd < 0)
        return cannot_read(path, fd);
    error = read_all(fd, VKS_KEY_FILE_BYTES_MAX, input);
    if (fd != STDIN_FILENO)
        close(fd);
    if (error == -EFBIG)
        return vks_import_fail(VKS_IMPORT_NO_KEY, NULL, "%s is larger than any key file", path);
    if (error)
        return cannot_read(path, error);
    return input->size_bytes ? 0 : vks_import_fail(VKS_IMPORT_NO_KEY, NULL, "%s is empty", path);
}

static int passphrase_from(int fd, const char *what, struct vks_secret_input *passphrase)
{
    int error = read_all(fd, VKS_PASSPHRASE_BYTES_MAX, passphrase);
    uint8_t *end;

    if (error == -EFBIG)
        return vks_import_fail(VKS_IMPORT_PASSPHRASE, NULL, "the passphrase is longer than %d bytes",
                               (int)VKS_PASSPHRASE_BYTES_MAX);
    if (error)
        return cannot_read(what, error);
    end = memchr(passphrase->bytes, '\n', passphrase->size_bytes);
    if (end) {
        if (end > passphrase->bytes && end[-1] == '\r')
            end--;
        passphrase->size_bytes = (size_t)(end - passphrase->bytes);
        *end = 0;
    }
    return 0;
}

/* dprintf makes calls that the program has given up. */
static void show(int fd, const char *text)
{
    (void)!write(fd, text, strlen(text));
}

/* 1 to go on, 0 at the end of the line, -1 when the user gave up. */
static int take_character(uint8_t c, struct vks_secret_input *passphrase)
{
    switch (c) {
    case '\r':
    case '\n':
        return 0;
    case CONTROL_C:
    case CONTROL_D:
        return -1;
    case CONTROL_U:
        passphrase->size_bytes = 0;
        return 1;
    case BACKSPACE:
    case DELETE:
        passphrase->size_bytes -= passphrase->size_bytes ? 1 : 0;
        return 1;
    default:
        if (passphrase->size_bytes < VKS_PASSPHRASE_BYTES_MAX)
            passphrase->bytes[passphrase->size_bytes++] = c;
        return 1;
    }
}

/*
 * Without echo, and each character at once, those that make signals included: so nothing short of SIGKILL leaves the
 * terminal without echo, and the kernel's line buffer never holds the passphrase.
 */
static int read_terminal(int fd, const char *prompt, const char *what, struct vks_secret_input *passphrase)
{
    uint8_t *c = vks_secret_alloc(1);
    struct termios before;
    struct termios quiet;
    int more = 1;

    passphrase->bytes = vks_secret_alloc(VKS_PASSPHRASE_BYTES_MAX + 1);
    if (c == NULL || passphrase->bytes == NULL || tcgetattr(fd, &before) != 0) {
        int error = c && passphrase->bytes ? -errno : -ENOMEM;

        vks_secret_free(c);
        return cannot_read("/dev/tty", error);
    }
    quiet = before;
    quiet.c_lflag &= ~(tcflag_t)(ECHO | ECHONL | ICANON | ISIG);
    quiet.c_cc[VMIN] = 1;
    quiet.c_cc[VTIME] = 0;
    tcsetattr(fd, TCSAFLUSH, &quiet);
    show(fd, prompt);
    show(fd, what);
    show(fd, ": ");
    while (more == 1) {
        ssize_t part = read(fd, c, 1);

        if (part == 1)
            more = take_character(*c, passphrase);
        else if (part == 0 || errno != EINTR)
            more = -1;
    }
    tcsetattr(fd, TCSAFLUSH, &before);
    show(fd, "\n");
    vks_secret_free(c);
    passphrase->bytes[passphrase->size_bytes] = 0;
    return more == 0 ? 0 : vks_import_fail(VKS_IMPORT_PASSPHRASE, NULL, "no passphrase given");
}

/* A new passphrase that was typed wrong opens nothing: it is asked for again, and both must be the same. */
static int read_terminal_twice(int fd, const char *what, struct vks_secret_input *passphrase)
{
    struct vks_secret_input again = {NULL, 0};
    int code = read_terminal(fd, "new passphrase for ", what, passphrase);

    if (code == 0)
        code = read_terminal(fd, "the same once more for ", what, &again);
    if (code == 0 && (again.size_bytes != passphrase->size_bytes ||
                      CRYPTO_memcmp(again.bytes, passphrase->bytes, again.size_bytes) != 0))
        code = vks_import_fail(VKS_IMPORT_PASSPHRASE, NULL, "the two are not the same");
    vks_secret_free(again.bytes);
    return code;
}

int vks_secret_input_passphrase(const struct vks_import_arguments *arguments, struct vks_secret_input *passphrase)
{
    const char *what = arguments->path ? arguments->path : "the vault";
    int code;
    int fd;

    *passphrase = (struct vks_secret_input){NULL, 0};
    if (arguments->passphrase_fd >= 0)
        return passphrase_from(arguments->passphrase_fd, "the passphrase", passphrase);
    if (arguments->passphrase_path) {
        fd = open_path(arguments->passphrase_path);
        if (fd < 0)
            return cannot_read(arguments->passphrase_path, fd);
        code = passphrase_from(fd, arguments->passphrase_path, passphrase);
    } else {
        fd = open("/dev/tty", O_RDWR | O_CLOEXEC | O_NOCTTY);
        if (fd < 0)
            return vks_import_fail(VKS_IMPORT_PASSPHRASE, "give --passphrase-file, there is no terminal to ask on",
                                   "%s is %s and no passphrase was given", what,
                                   arguments->path ? "encrypted" : "opened by a passphrase");
        code = arguments->what == VKS_IMPORT_NEW_ROOT_PASSPHRASE
                   ? read_terminal_twice(fd, what, passphrase)
                   : read_terminal(fd, "passphrase for ", what, passphrase);
    }
    if (fd != STDIN_FILENO)
        close(fd);
    return code;
}
