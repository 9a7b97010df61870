/* SPDX-License-Identifier: Apache-2.0 */
#include "token_pin.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "secret_arena.h"

enum {
    LINE_BYTES_MAX = VKS_TOKEN_PIN_BYTES_MAX + 2, /* with CR and LF */
};

static enum vks_hsm_error read_start(int fd, uint8_t *bytes, size_t *done)
{
    ssize_t part = 1;

    *done = 0;
    while (part != 0 && *done < LINE_BYTES_MAX) {
        part = pread(fd, bytes + *done, LINE_BYTES_MAX - *done, (off_t)*done);
        if (part < 0 && errno != EINTR)
            return VKS_HSM_PIN_FILE;
        *done += part > 0 ? (size_t)part : 0;
    }
    return VKS_HSM_OK;
}

enum vks_hsm_error vks_token_pin_read(int fd, uint8_t **pin, size_t *pin_bytes)
{
    uint8_t *bytes = vks_secret_alloc(LINE_BYTES_MAX), *end;
    enum vks_hsm_error error = bytes ? read_start(fd, bytes, pin_bytes) : VKS_HSM_OURS;

    if (!error) {
        end = memchr(bytes, '\n', *pin_bytes);
        if (end)
            *pin_bytes = (size_t)(end - bytes) - (end > bytes && end[-1] == '\r' ? 1 : 0);
        if (*pin_bytes == 0 || *pin_bytes > VKS_TOKEN_PIN_BYTES_MAX)
            error = VKS_HSM_PIN_BYTES;
    }
    if (error) {
        vks_secret_free(bytes);
        bytes = NULL;
    }
    *pin = bytes;
    return error;
}
