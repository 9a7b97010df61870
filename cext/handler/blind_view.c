/* SPDX-License-Identifier: Apache-2.0 */
/* Mounts over what is to be hidden; a descendant cannot take them away, since it has no rights in this namespace. */
#include "blind_view.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

static int write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    size_t size_bytes = strlen(text);
    ssize_t written;
    int error = 0;

    if (fd < 0)
        return -errno;
    written = write(fd, text, size_bytes);
    if (written < 0)
        error = -errno;
    else if ((size_t)written != size_bytes)
        error = -EIO;
    close(fd);
    return error;
}

/* user_namespaces(7): without rights outside, only the own user and, with setgroups given up, the own group. */
static int keep_user(uid_t uid, gid_t gid)
{
    char map[64];
    int error = write_text("/proc/self/setgroups", "deny");

    if (error)
        return error;
    snprintf(map, sizeof(map), "%u %u 1", uid, uid);
    error = write_text("/proc/self/uid_map", map);
    if (error)
        return error;
    snprintf(map, sizeof(map), "%u %u 1", gid, gid);
    return write_text("/proc/self/gid_map", map);
}

static int hide(const char *path)
{
    struct stat found;

    if (stat(path, &found) != 0)
        return errno == ENOENT || errno == ENOTDIR ? 0 : -errno;
    if (S_ISDIR(found.st_mode)) {
        if (mount("none", path, "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC | MS_RDONLY, "size=4k,mode=0555") != 0)
            return -errno;
    } else if (mount("/dev/null", path, NULL, MS_BIND, NULL) != 0) {
        return -errno;
    }
    return 0;
}

int vks_blind_view_enter(char *const *paths, const char **failed)
{
    uid_t uid = geteuid();
    gid_t gid = getegid();
    int error;

    *failed = NULL;
    if (unshare(CLONE_NEWUSER | CLONE_NEWNS) != 0)
        return -errno;
    error = keep_user(uid, gid);
    if (!error && mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0)
        error = -errno;
    for (; !error && *paths; paths++) {
        error = hide(*paths);
        if (error)
            *failed = *paths;
    }
    return error;
}
