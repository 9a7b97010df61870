/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The root of trust: the key encryption key (KEK) that is in force, the one that comes after it while everything is
 * sealed anew, and the one before it: a blob that was read before a change may come to be opened after it.
 */
#ifndef VKS_ROOT_H
#define VKS_ROOT_H

#include <stdbool.h>
#include <stdint.h>

#include "root_file.h"

enum vks_root_age {
    VKS_ROOT_CURRENT = 0,
    VKS_ROOT_NEXT = 1,
    VKS_ROOT_PREVIOUS = 2,
    VKS_ROOT_AGE_COUNT = 3,
};

/*
 * Load the KEK from an open file, or make one in an empty file, in the clear. 0, or: -EALREADY a KEK is loaded,
 * -EACCES not a regular file of this user that nobody else may read, or what root_file.h says.
 */
__attribute__((warn_unused_result)) int vks_root_open(int fd, bool create, const struct vks_root_secret_input *secret);
/*
 * Make the next KEK and write it into an empty file; a next one that was made before is forgotten. 0, -ENOKEY without a
 * current one, or as above.
 */
__attribute__((warn_unused_result)) int
vks_root_change(int fd, uint32_t kind, const struct vks_root_secret_input *secret, const struct vks_root_blob *blob);
/* The next KEK is the current one from now on. 0 or -ENOKEY. */
__attribute__((warn_unused_result)) int vks_root_switch(void);
/* A KEK, or NULL while there is none of that age. */
const uint8_t *vks_root_kek(enum vks_root_age age);
/* enum vks_root_kind of the file of the current KEK, or of the one that could not be opened; 0: none was tried. */
uint32_t vks_root_kind(void);

#endif
