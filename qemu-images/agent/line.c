/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Where the host is: finds and opens the line to it. Knows nothing of what goes over it.
 */
#define _GNU_SOURCE
#include "line.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <termios.h>
#include <time.h>

enum {
    WAIT_TRIES = 1000,
    WAIT_NS = 10 * 1000 * 1000,
};

static int port_find(const char *name)
{
    char path[512], found[128];

    for (int i = 0; i < WAIT_TRIES; i++) {
        DIR *folder = opendir("/sys/class/virtio-ports");
        for (struct dirent *entry; folder && (entry = readdir(folder));) {
            snprintf(path, sizeof(path), "/sys/class/virtio-ports/%s/name", entry->d_name);
            FILE *file = fopen(path, "re");
            bool match = file && fgets(found, sizeof(found), file) && strcspn(found, "\n") == strlen(name) &&
                         !strncmp(found, name, strlen(name));
            if (file)
                fclose(file);
            if (!match)
                continue;
            snprintf(path, sizeof(path), "/dev/%s", entry->d_name);
            int fd = open(path, O_RDWR | O_CLOEXEC);
            if (fd >= 0) {
                closedir(folder);
                return fd;
            }
        }
        if (folder)
            closedir(folder);
        nanosleep(&(struct timespec){.tv_nsec = WAIT_NS}, NULL);
    }
    errno = ENODEV;
    return -1;
}

static int tty_open(const char *path)
{
    struct termios mode;
    int fd = open(path, O_RDWR | O_NOCTTY | O_CLOEXEC);

    if (fd < 0 || tcgetattr(fd, &mode))
        return -1;
    cfmakeraw(&mode);
    return tcsetattr(fd, TCSANOW, &mode) ? -1 : fd;
}

int line_open(const char *name)
{
    if (!strncmp(name, "port:", 5))
        return port_find(name + 5);
    if (!strncmp(name, "tty:", 4))
        return tty_open(name + 4);
    errno = EINVAL;
    return -1;
}
