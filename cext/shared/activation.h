/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A program that systemd started, and not keystored: for one connection to its socket (sd_listen_fds(3), Accept=yes),
 * whose other end does not know us yet.
 */
#ifndef VKS_ACTIVATION_H
#define VKS_ACTIVATION_H

#include <stdint.h>

/*
 * If systemd started us: see that *user* is who connected, and say who we are (VKS_PROGRAM_STARTED). Before anything is
 * read from *control_fd*. 0, at once where somebody else started us; -EPERM: it is another user's connection; or
 * another negative errno.
 */
__attribute__((warn_unused_result)) int vks_activation_greet(int control_fd, uint32_t user);

#endif
