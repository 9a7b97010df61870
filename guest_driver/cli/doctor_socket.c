/* SPDX-License-Identifier: BSD-3-Clause */
/* Is there a guest's socket, and may this user connect. */
#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"

void doctor_examine_socket(const char *path, struct findings *findings)
{
    struct stat found;

    if (stat(path, &found))
        findings_add(findings, false,
                     errno == ENOENT ? "the host's operator makes it: vmm-keystore guest add NAME --socket PATH" : "",
                     "socket %.100s cannot be found: %s", path, strerror(errno));
    else if (!S_ISSOCK(found.st_mode))
        findings_add(findings, false, "name the socket that 'vmm-keystore guest show NAME' shows",
                     "%.100s is no socket", path);
    else if (access(path, R_OK | W_OK))
        findings_add(findings, false, "its owner is whom 'vmm-keystore guest add --owner-uid UID' names",
                     "socket %.100s may not be used: %s", path, strerror(errno));
    else
        findings_add(findings, true, "", "socket %.100s may be used", path);
}
