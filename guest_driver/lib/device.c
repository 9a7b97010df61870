/* SPDX-License-Identifier: BSD-3-Clause */
/* Finding, opening and closing a device. */
#define _GNU_SOURCE /* secure_getenv */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "transport.h"

/* The number of a name "keystoreN", or -1. */
static long keystore_number(const char *name)
{
    static const char prefix[] = "keystore";
    char *end;
    long number;

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return -1;
    name += sizeof(prefix) - 1;
    if (*name < '0' || *name > '9')
        return -1;
    errno = 0;
    number = strtol(name, &end, 10);
    return *end == '\0' && errno == 0 && number <= 1000000 ? number : -1;
}

/* What $VKS_DEVICE names, else the node of the lowest number; -ENOENT if there is neither. */
static int default_path(char *path, size_t size)
{
    const char *named = secure_getenv("VKS_DEVICE");
    long lowest = -1;
    struct dirent *entry;
    DIR *folder;

    if (named && *named)
        return (size_t)snprintf(path, size, "%s", named) < size ? 0 : -ENAMETOOLONG;
    folder = opendir("/dev");
    if (!folder)
        return -errno;
    while ((entry = readdir(folder))) {
        long number = keystore_number(entry->d_name);

        if (number >= 0 && (lowest < 0 || number < lowest))
            lowest = number;
    }
    closedir(folder);
    if (lowest < 0)
        return -ENOENT;
    return (size_t)snprintf(path, size, "/dev/keystore%ld", lowest) < size ? 0 : -ENAMETOOLONG;
}

int vks_open(const char *path, struct vks_device **device)
{
    struct vks_device *opened = calloc(1, sizeof(*opened));
    int error = 0;

    *device = NULL;
    if (!opened)
        return -ENOMEM;
    if (!path)
        error = default_path(opened->path, sizeof(opened->path));
    else if ((size_t)snprintf(opened->path, sizeof(opened->path), "%s", path) >= sizeof(opened->path))
        error = -ENAMETOOLONG;
    if (!error && strncmp(opened->path, VKS_NATIVE_PREFIX, strlen(VKS_NATIVE_PREFIX)) == 0)
        error = vks_native_open(opened->path + strlen(VKS_NATIVE_PREFIX), opened);
    else if (!error)
        error = vks_kernel_open(opened->path, opened);
    if (error) {
        free(opened);
        return error;
    }
    *device = opened;
    return 0;
}

void vks_close(struct vks_device *device)
{
    if (!device)
        return;
    device->transport->close(device->context);
    free(device);
}

const char *vks_path(const struct vks_device *device)
{
    return device->path;
}
