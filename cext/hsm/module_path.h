/* SPDX-License-Identifier: Apache-2.0 */
/* Whether a library may be loaded: it runs with all that we have. */
#ifndef VKS_MODULE_PATH_H
#define VKS_MODULE_PATH_H

#include <limits.h>

#include "hsm_error.h"

/*
 * Follow links to the file itself, and see that nobody but root can exchange or write it: it is a regular file, and it
 * and every folder above are root's and writable by nobody else (a sticky folder is well: there nobody exchanges what
 * is root's). What passes stays as it is, so it is loaded by the path in *resolved*. VKS_HSM_OK, or
 * VKS_HSM_MODULE_RELATIVE, _MISSING, _WRITABLE.
 */
__attribute__((warn_unused_result)) enum vks_hsm_error vks_module_path_check(const char *path, char resolved[PATH_MAX]);

#endif
