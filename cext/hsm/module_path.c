/* SPDX-License-Identifier: Apache-2.0 */
/* Owners and modes from / down to a file. Knows paths; must not know what is loaded. */
#include "module_path.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static bool is_roots_alone(const char *path, bool is_file)
{
    struct stat found;

    if (lstat(path, &found) != 0 || !(is_file ? S_ISREG(found.st_mode) : S_ISDIR(found.st_mode)))
        return false;
    if (found.st_uid != 0)
        return false;
    return (found.st_mode & (S_IWGRP | S_IWOTH)) == 0 || (!is_file && (found.st_mode & S_ISVTX) != 0);
}

enum vks_hsm_error vks_module_path_check(const char *path, char resolved[PATH_MAX])
{
    if (path[0] != '/')
        return VKS_HSM_MODULE_RELATIVE;
    if (realpath(path, resolved) == NULL)
        return VKS_HSM_MODULE_MISSING;
    if (!is_roots_alone("/", false))
        return VKS_HSM_MODULE_WRITABLE;
    for (char *slash = strchr(resolved + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        bool trusted;

        *slash = '\0';
        trusted = is_roots_alone(resolved, false);
        *slash = '/';
        if (!trusted)
            return VKS_HSM_MODULE_WRITABLE;
    }
    return is_roots_alone(resolved, true) ? VKS_HSM_OK : VKS_HSM_MODULE_WRITABLE;
}
