/* SPDX-License-Identifier: Apache-2.0 */
/* Credentials, by the system calls themselves: a process that is about to lose all rights needs no library for it. */
#define _GNU_SOURCE
#include "privileges.h"

#include <errno.h>
#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

enum {
    CAPABILITIES_MAX = 64,
    WORDS = _LINUX_CAPABILITY_U32S_3,
};

#define CAPABILITY(name) (UINT64_C(1) << (name))

static int capabilities_get(uint64_t *effective, uint64_t *permitted)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[WORDS];

    if (syscall(SYS_capget, &head, data) != 0)
        return -errno;
    *effective = data[0].effective | (uint64_t)data[1].effective << 32;
    *permitted = data[0].permitted | (uint64_t)data[1].permitted << 32;
    return 0;
}

static int capabilities_set(uint64_t capabilities)
{
    struct __user_cap_header_struct head = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[WORDS] = {{0}};

    data[0].effective = data[0].permitted = (uint32_t)capabilities;
    data[1].effective = data[1].permitted = (uint32_t)(capabilities >> 32);
    return syscall(SYS_capset, &head, data) == 0 ? 0 : -errno;
}

int vks_bounding_set_keep(uint64_t capabilities)
{
    uint64_t effective = 0, permitted = 0;
    int error = capabilities_get(&effective, &permitted);

    if (error)
        return error;
    for (int capability = 0; capability < CAPABILITIES_MAX && (effective & CAPABILITY(CAP_SETPCAP)); capability++) {
        if (capabilities & CAPABILITY(capability))
            continue;
        if (prctl(PR_CAPBSET_DROP, capability, 0, 0, 0) == 0)
            continue;
        if (errno == EINVAL)
            break; /* one past the kernel's last */
        return -errno;
    }
    return 0;
}

int vks_capabilities_keep(uint64_t capabilities)
{
    uint64_t effective = 0, permitted = 0;
    int error = vks_bounding_set_keep(capabilities);

    if (!error)
        error = capabilities_get(&effective, &permitted);
    if (error)
        return error;
    if (prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0) != 0)
        return -errno;
    return capabilities_set(permitted & capabilities);
}

/* False where the user namespace has no such user; everything else that fails leaves *error*. */
static bool become(uid_t user, uid_t keeper, int *error)
{
    *error = 0;
    if (syscall(SYS_setresgid, user, user, user) != 0) {
        if (errno != EINVAL)
            *error = -errno;
        return *error != 0;
    }
    if (syscall(SYS_setresuid, user, user, keeper ? keeper : user) != 0)
        *error = -errno;
    return true;
}

int64_t vks_user_leave(uint32_t keeper)
{
    static const uint64_t wanted = CAPABILITY(CAP_SETUID) | CAPABILITY(CAP_SETGID) | CAPABILITY(CAP_KILL);
    const uid_t users[] = {(uid_t)VKS_USER_FIRST + (uid_t)getpid(), VKS_USER_NOBODY};
    uint64_t effective = 0, permitted = 0;
    int error = capabilities_get(&effective, &permitted);

    if (error)
        return error;
    /* Some user namespaces forbid setgroups: who keeps its groups keeps its user. */
    if ((effective & wanted) != wanted || syscall(SYS_setgroups, 0, NULL) != 0)
        return 0;
    for (size_t i = 0; i < sizeof(users) / sizeof(users[0]); i++)
        if (become(users[i], keeper, &error))
            return error ? error : (int64_t)users[i];
    return 0;
}
