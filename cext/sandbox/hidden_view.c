/* SPDX-License-Identifier: Apache-2.0 */
/* Landlock and namespaces. Knows the kernel's ways to hide what a path names; must not know whom it hides it from. */
#define _GNU_SOURCE
#include "hidden_view.h"

#include <errno.h>
#include <sched.h>
#include <stddef.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    /* linux/landlock.h, which is older on some systems than the kernel they run. */
    CREATE_RULESET_VERSION = 1,
    ABI_REFER = 2,
    ABI_TRUNCATE = 3,
    ABI_NET = 4,
    ABI_IOCTL_DEVICE = 5,
    ABI_SCOPE = 6,
};

static const uint64_t FS_FIRST = (UINT64_C(1) << 13) - 1; /* execute to make_sym: ABI 1 */
static const uint64_t FS_REFER = UINT64_C(1) << 13;
static const uint64_t FS_TRUNCATE = UINT64_C(1) << 14;
static const uint64_t FS_IOCTL_DEVICE = UINT64_C(1) << 15;
static const uint64_t NET_TCP = 3;   /* bind, connect */
static const uint64_t SCOPE_ALL = 3; /* abstract sockets, signals */

struct ruleset {
    uint64_t handled_fs;
    uint64_t handled_net;
    uint64_t scoped;
};

/* A ruleset without a rule allows nothing of what it handles. The ABI, or a negative errno. */
static int landlock(void)
{
    struct ruleset all = {.handled_fs = FS_FIRST};
    size_t size_bytes = offsetof(struct ruleset, handled_net);
    long abi = syscall(SYS_landlock_create_ruleset, NULL, (size_t)0, CREATE_RULESET_VERSION);
    int fd, error;

    if (abi < 1)
        return abi < 0 ? -errno : -ENOSYS;
    all.handled_fs |= abi >= ABI_REFER ? FS_REFER : 0;
    all.handled_fs |= abi >= ABI_TRUNCATE ? FS_TRUNCATE : 0;
    all.handled_fs |= abi >= ABI_IOCTL_DEVICE ? FS_IOCTL_DEVICE : 0;
    if (abi >= ABI_NET) {
        all.handled_net = NET_TCP;
        size_bytes = offsetof(struct ruleset, scoped);
    }
    if (abi >= ABI_SCOPE) {
        all.scoped = SCOPE_ALL;
        size_bytes = sizeof(all);
    }
    fd = (int)syscall(SYS_landlock_create_ruleset, &all, size_bytes, 0);
    if (fd < 0)
        return -errno;
    error = syscall(SYS_landlock_restrict_self, fd, 0) == 0 ? 0 : -errno;
    close(fd);
    return error ? error : (int)abi;
}

/* An empty, read-only file system instead of the root. /proc is only a place to mount it that is always there. */
static int empty_root(void)
{
    if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("none", "/proc", "tmpfs", MS_NOSUID | MS_NODEV | MS_NOEXEC, "size=4k,mode=0555") != 0 ||
        chdir("/proc") != 0)
        return -errno;
    /* pivot_root(2), "pivot_root(".", ".")"; it refuses where the root is the kernel's initial one. */
    if (syscall(SYS_pivot_root, ".", ".") == 0) {
        if (umount2(".", MNT_DETACH) != 0)
            return -errno;
    } else if (chroot(".") != 0) {
        return -errno;
    }
    if (chdir("/") != 0 || mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) != 0)
        return -errno;
    return 0;
}

static int namespaces(void)
{
    int own = CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;

    /* With a user namespace where that is what it takes. */
    if (unshare(own) != 0 && unshare(own | CLONE_NEWUSER) != 0)
        return -errno;
    return empty_root();
}

void vks_hidden_view_enter(struct vks_hidden_view *view)
{
    int abi = landlock();

    if (abi > 0)
        *view = (struct vks_hidden_view){VKS_SANDBOX_VIEW_LANDLOCK, (uint32_t)abi};
    else if (view->kind != VKS_SANDBOX_VIEW_NAMESPACES && namespaces() == 0)
        *view = (struct vks_hidden_view){VKS_SANDBOX_VIEW_NAMESPACES, 0};
}
