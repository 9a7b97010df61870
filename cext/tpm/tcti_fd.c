/* SPDX-License-Identifier: Apache-2.0 */
/* Commands and responses over a descriptor. Knows their framing; must not know what they say. */
#include "tcti_fd.h"

#include <endian.h>
#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

enum {
    HEAD_BYTES = 10, /* tag, size, response code */
    SIZE_OFFSET = 2,
};

static const uint64_t magic = 0x766b732d74637469; /* any: nobody else has this one */

static TSS2_RC transmit(TSS2_TCTI_CONTEXT *context, size_t size_bytes, const uint8_t *command)
{
    const struct vks_tcti_fd *tcti = (const struct vks_tcti_fd *)context;
    ssize_t written;

    /* The kernel's device takes a command in one write. */
    do
        written = write(tcti->fd, command, size_bytes);
    while (written < 0 && errno == EINTR);
    return written == (ssize_t)size_bytes ? TSS2_RC_SUCCESS : TSS2_TCTI_RC_IO_ERROR;
}

/* 0 or -1. */
static int read_more(int fd, uint8_t *bytes, size_t *done, size_t want, size_t room)
{
    while (*done < want) {
        ssize_t part = read(fd, bytes + *done, room - *done);

        if (part == 0 || (part < 0 && errno != EINTR))
            return -1;
        *done += part > 0 ? (size_t)part : 0;
    }
    return 0;
}

static TSS2_RC receive(TSS2_TCTI_CONTEXT *context, size_t *size_bytes, uint8_t *response, int32_t timeout)
{
    const struct vks_tcti_fd *tcti = (const struct vks_tcti_fd *)context;
    size_t room = *size_bytes, done = 0;
    uint32_t announced;

    *size_bytes = TPM2_MAX_RESPONSE_SIZE;
    if (response == NULL)
        return TSS2_RC_SUCCESS;
    if (room < HEAD_BYTES)
        return TSS2_TCTI_RC_INSUFFICIENT_BUFFER;
    /* The kernel's device gives a response in one read, a socket in as many as it likes. */
    if (read_more(tcti->fd, response, &done, HEAD_BYTES, room))
        return TSS2_TCTI_RC_IO_ERROR;
    memcpy(&announced, response + SIZE_OFFSET, sizeof(announced));
    announced = be32toh(announced);
    if (announced < HEAD_BYTES || announced > room || done > announced)
        return TSS2_TCTI_RC_MALFORMED_RESPONSE;
    if (read_more(tcti->fd, response, &done, announced, announced))
        return TSS2_TCTI_RC_IO_ERROR;
    *size_bytes = done;
    return TSS2_RC_SUCCESS;
}

static void finalize(TSS2_TCTI_CONTEXT *context)
{
    (void)context; /* the descriptor is the caller's */
}

static TSS2_RC cancel(TSS2_TCTI_CONTEXT *context)
{
    (void)context;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC get_poll_handles(TSS2_TCTI_CONTEXT *context, TSS2_TCTI_POLL_HANDLE *handles, size_t *count)
{
    (void)context;
    (void)handles;
    *count = 0;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

static TSS2_RC set_locality(TSS2_TCTI_CONTEXT *context, uint8_t locality)
{
    (void)context;
    (void)locality;
    return TSS2_TCTI_RC_NOT_IMPLEMENTED;
}

TSS2_TCTI_CONTEXT *vks_tcti_fd_set_up(struct vks_tcti_fd *tcti, int fd)
{
    *tcti = (struct vks_tcti_fd){
        .common =
            {
                .magic = magic,
                .version = 1,
                .transmit = transmit,
                .receive = receive,
                .finalize = finalize,
                .cancel = cancel,
                .getPollHandles = get_poll_handles,
                .setLocality = set_locality,
            },
        .fd = fd,
    };
    return (TSS2_TCTI_CONTEXT *)tcti;
}
