/* SPDX-License-Identifier: Apache-2.0 */
/* The order of confinement. */
#define _GNU_SOURCE
#include "sandbox.h"

#include <errno.h>
#include <linux/capability.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "hidden_view.h"
#include "privileges.h"

static const uint64_t SPAWNER_CAPABILITIES =
    UINT64_C(1) << CAP_SETUID | UINT64_C(1) << CAP_SETGID | UINT64_C(1) << CAP_KILL | UINT64_C(1) << CAP_SETPCAP;

static int harden(void)
{
    static const struct rlimit none = {0, 0};

    if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        setrlimit(RLIMIT_CORE, &none) != 0)
        return -errno;
    return 0;
}

static void hide(struct vks_sandbox_report *report)
{
    struct vks_hidden_view view = {(enum vks_sandbox_view)report->view, report->landlock_abi};

    vks_hidden_view_enter(&view);
    report->view = view.kind;
    report->landlock_abi = view.landlock_abi;
}

uint32_t vks_sandbox_keeper(int argc, char **argv)
{
    return argc > 1 ? (uint32_t)strtoul(argv[1], NULL, 10) : getuid();
}

int vks_sandbox_confine_spawner(uint32_t keeper, struct vks_sandbox_report *report)
{
    int error = harden();
    int64_t user;

    /* Now: in a user namespace of our own, getuid no longer says who we are. */
    report->uid = getuid();
    if (error)
        return error;
    hide(report);
    error = vks_bounding_set_keep(SPAWNER_CAPABILITIES);
    if (error)
        return error;
    if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) != 0)
        return -errno;
    user = vks_user_leave(keeper);
    if (user < 0)
        return (int)user;
    if (user > 0)
        report->uid = (uint32_t)user;
    if (prctl(PR_SET_KEEPCAPS, 0, 0, 0, 0) != 0)
        return -errno;
    error = vks_capabilities_keep(SPAWNER_CAPABILITIES);
    return error ? error : harden();
}

int vks_sandbox_confine_child(uint32_t keeper, struct vks_sandbox_report *report)
{
    int error = harden();
    int64_t user;

    if (error)
        return error;
    hide(report);
    /* While there is a capability to do it with. */
    error = vks_bounding_set_keep(0);
    if (error)
        return error;
    user = vks_user_leave(keeper);
    if (user < 0)
        return (int)user;
    if (user > 0) {
        report->uid = (uint32_t)user;
        report->flags |= VKS_SANDBOX_F_OWN_USER;
    }
    error = vks_capabilities_keep(0);
    /* Changing user made the process dumpable again where fs.suid_dumpable says so. */
    return error ? error : harden();
}

int vks_sandbox_confine(uint32_t keeper, struct vks_sandbox_report *report)
{
    report->uid = getuid();
    return vks_sandbox_confine_child(keeper, report);
}

int vks_sandbox_confine_user(uint64_t capabilities)
{
    int error = harden();

    return error ? error : vks_capabilities_keep(capabilities);
}

#if VKS_SANDBOX_SEALS
static int limit_resources(const struct vks_sandbox_limits *limits)
{
    const struct {
        int resource;
        rlim_t most;
    } all[] = {
        {RLIMIT_NPROC, 0},
        {RLIMIT_MSGQUEUE, 0},
        {RLIMIT_FSIZE, limits->file_bytes},
        {RLIMIT_NOFILE, limits->descriptors},
    };

    for (size_t i = 0; i < sizeof(all) / sizeof(all[0]); i++) {
        const struct rlimit limit = {all[i].most, all[i].most};

        if (setrlimit((__rlimit_resource_t)all[i].resource, &limit) != 0)
            return -errno;
    }
    return 0;
}
#endif

int vks_sandbox_seal(const struct vks_sandbox_limits *limits, const struct vks_syscall_filter *filter,
                     struct vks_sandbox_report *report)
{
#if VKS_SANDBOX_SEALS
    int error = limit_resources(limits);

    if (!error)
        error = vks_syscall_filter_load(filter);
    if (!error)
        report->flags |= VKS_SANDBOX_F_SYSCALL_FILTER;
    return error;
#else
    (void)limits;
    (void)filter;
    (void)report;
    return 0;
#endif
}
