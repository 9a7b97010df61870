/* SPDX-License-Identifier: BSD-3-Clause */
/* What every command on a key has: the device, the key, the data from stdin. */
#ifndef VKS_CLI_SESSION_H
#define VKS_CLI_SESSION_H

#include "io.h"
#include "options.h"

struct session {
    const char *name; /* of the command */
    struct vks_device *device;
    struct vks_key key;
    struct vks_use use;
    struct buffer input;
};

/* Opens, finds the key of operand 0 and, where the command takes data, reads stdin. Else complains and gives false. */
VKS_MUST_CHECK bool session_begin(const struct options *options, bool takes_input, struct session *session);
void session_end(struct session *session);
/* Ends it: @data to stdout, or where @error is not 0 what that means to stderr; gives the exit status. */
VKS_MUST_CHECK int session_write(struct session *session, int error, const void *data, size_t size);
/*
 * Has @make write to a new file, operand 1, which is gone again where that fails. Its @output has room for a secret of
 * @secret_size bytes and the sealed form, and is wiped; it closes @fd and gives an exit status, as this does.
 * @exists_hint: to who names a file that is there. Ends the session.
 */
typedef int file_maker(const struct session *session, const struct options *options, int fd, struct buffer *output);
VKS_MUST_CHECK int session_make_file(struct session *session, const struct options *options, size_t secret_size,
                                     const char *exists_hint, file_maker *make);
/* A file named on the command line; complains and gives false. */
VKS_MUST_CHECK bool file_read(const char *path, size_t limit, struct buffer *buffer);
struct vks_bytes bytes_of(const struct buffer *buffer);
struct vks_bytes bytes_of_text(const char *text); /* NULL: none */

#endif
