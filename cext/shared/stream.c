/* SPDX-License-Identifier: Apache-2.0 */
#include "stream.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

int vks_stream_read(int fd, void *bytes, size_t bytes_max, size_t *size_bytes)
{
    ssize_t part = 1;

    *size_bytes = 0;
    while (part != 0 && *size_bytes < bytes_max) {
        part = read(fd, (uint8_t *)bytes + *size_bytes, bytes_max - *size_bytes);
        if (part < 0 && errno != EINTR)
            return -errno;
        *size_bytes += part > 0 ? (size_t)part : 0;
    }
    return 0;
}

int vks_stream_write(int fd, const void *bytes, size_t size_bytes)
{
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t part = write(fd, (const uint8_t *)bytes + done, size_bytes - done);

        if (part < 0 && errno != EINTR)
            return -errno;
        done += part > 0 ? (size_t)part : 0;
    }
    return 0;
}

int vks_stream_parse_fd(const char *text, int *fd)
{
    char *end;
    long number;

    if (*text < '0' || *text > '9')
        return -EINVAL;
    number = strtol(text, &end, 10);
    if (*end != '\0' || number > INT_MAX)
        return -EINVAL;
    *fd = (int)number;
    return 0;
}
