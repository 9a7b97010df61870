/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "session.h"

struct vks_bytes bytes_of(const struct buffer *buffer)
{
    return (struct vks_bytes){buffer->data, buffer->size};
}

struct vks_bytes bytes_of_text(const char *text)
{
    return (struct vks_bytes){text, text ? strlen(text) : 0};
}

bool session_begin(const struct options *options, bool takes_input, struct session *session)
{
    int error;

    *session = (struct session){.name = options->command->name};
    error = vks_open(options->device, &session->device);
    if (!error)
        error = vks_find_key(session->device, options->operands[0], options->version, &session->key);
    if (error) {
        complain(session->name, error);
        session_end(session);
        return false;
    }
    memcpy(session->use.key_id, session->key.id, sizeof(session->use.key_id));
    /* As asked for, not as found: the current version may change until the request arrives, and 0 follows it. */
    session->use.key_version = options->version;
    session->use.mechanism = options->mechanism;
    session->use.is_digest = options->given & OPTION_DIGEST;
    error = takes_input ? buffer_read(NULL, VKS_INPUT_BYTES_MAX, &session->input) : 0;
    if (error) {
        /* -E2BIG has a hint of its own; anything else is about stdin, not about a device. */
        if (error == -E2BIG)
            complain(session->name, error);
        else
            complain_words("stdin", strerror(-error), NULL);
        session_end(session);
        return false;
    }
    return true;
}

void session_end(struct session *session)
{
    buffer_free(&session->input);
    vks_close(session->device);
    session->device = NULL;
}

int session_write(struct session *session, int error, const void *data, size_t size)
{
    if (error)
        error = complain(session->name, error);
    else if (output_write(data, size))
        error = complain_words("stdout", "the result could not be written", NULL);
    session_end(session);
    return error;
}

bool file_read(const char *path, size_t limit, struct buffer *buffer)
{
    int error = buffer_read(path, limit, buffer);

    if (!error)
        return true;
    complain_words(path, error == -E2BIG ? "too large for what it should be" : strerror(-error), NULL);
    return false;
}

int session_make_file(struct session *session, const struct options *options, size_t secret_size,
                      const char *exists_hint, file_maker *make)
{
    const char *path = options->operands[1];
    struct buffer output;
    int status = 1;
    int fd;

    if (buffer_alloc(VKS_DATA_KEY_BYTES(secret_size), &output)) {
        session_end(session);
        return complain(session->name, -ENOMEM);
    }
    fd = file_create(path);
    if (fd >= 0) {
        status = make(session, options, fd, &output);
        if (status)
            unlink(path);
    } else {
        complain_words(path, strerror(-fd), fd == -EEXIST ? exists_hint : NULL);
    }
    buffer_free(&output);
    session_end(session);
    return status;
}
