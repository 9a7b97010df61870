/* SPDX-License-Identifier: Apache-2.0 */
/* The list of key channels. Knows numbers and sockets; must not know keys. */
#include "channels.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

static struct channel {
    uint64_t id;
    int fd;
} channels[VKS_CHANNELS_MAX];

static uint32_t channel_count;

static struct channel *find(uint64_t channel_id)
{
    for (uint32_t i = 0; i < channel_count; i++)
        if (channels[i].id == channel_id)
            return &channels[i];
    return NULL;
}

/* A worker that does not read must not stop everybody else's keys. */
static int check_socket(int fd)
{
    int type = 0;
    socklen_t size = sizeof(type);
    int flags;

    if (getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 || type != SOCK_SEQPACKET)
        return -EPROTO;
    flags = fcntl(fd, F_GETFL);
    return flags >= 0 && fcntl(fd, F_SETFL, flags | O_NONBLOCK) == 0 ? 0 : -EPROTO;
}

int vks_channel_add(uint64_t channel_id, int fd)
{
    int error = check_socket(fd);

    if (!error && find(channel_id))
        error = -EEXIST;
    if (!error && channel_count == VKS_CHANNELS_MAX)
        error = -ENOSPC;
    if (error) {
        close(fd);
        return error;
    }
    channels[channel_count++] = (struct channel){channel_id, fd};
    return 0;
}

int vks_channel_remove(uint64_t channel_id)
{
    struct channel *channel = find(channel_id);

    if (channel == NULL)
        return -ENOENT;
    close(channel->fd);
    *channel = channels[--channel_count];
    return 0;
}

int vks_channel_find(uint64_t channel_id)
{
    struct channel *channel = find(channel_id);

    return channel ? channel->fd : -ENOENT;
}
