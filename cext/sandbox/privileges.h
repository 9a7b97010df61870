/* SPDX-License-Identifier: Apache-2.0 */
/* User and capabilities of a process. All of this is for a process with a single thread: it changes that thread. */
#ifndef VKS_PRIVILEGES_H
#define VKS_PRIVILEGES_H

#include <stdint.h>
#include <sys/types.h>

/*
 * Users of our processes: this and the process's pid, so that no two live ones share a user and nothing has to be
 * handed out or taken back. The range lies in what the Linux distributions leave unused (1879048192 to 2^31), so that
 * no file is ever owned by it.
 */
enum vks_user {
    VKS_USER_FIRST = 0x76000000,
    VKS_USER_NOBODY = 65534, /* for user namespaces which do not have that range */
};

/*
 * Keep these capabilities (bit n for capability n) in the bounding set. A process that may not drop any keeps it whole:
 * under no_new_privs nothing comes from it.
 */
__attribute__((warn_unused_result)) int vks_bounding_set_keep(uint64_t capabilities);

/* Keep these capabilities and lose all others, in every set; none survives an exec. */
__attribute__((warn_unused_result)) int vks_capabilities_keep(uint64_t capabilities);

/*
 * Become a user of one's own, in no group, if we have the capabilities for it. *keeper* is who must be able to kill us:
 * unless it is root, it stays our saved user, which gives it that right and no other, and us nothing that the
 * system-call filter lets us use. The new user; 0: still the old one, for lack of the right or of a user to become; or
 * a negative errno.
 */
__attribute__((warn_unused_result)) int64_t vks_user_leave(uint32_t keeper);

#endif
