/* SPDX-License-Identifier: BSD-3-Clause */
/* Is the kernel module loaded; if not, is it there for this kernel, and would the kernel take it. */
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "doctor.h"

#define MODULE "virtio_keystore"
/* UEFI, 3.3: four bytes of attributes, then 1 where Secure Boot is on. */
#define SECURE_BOOT "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c"

/* Whether depmod found it among the modules of this kernel. */
static bool is_installed(const char *root, const char *release)
{
    char path[400], line[1024];
    bool is_found = false;
    FILE *file;

    snprintf(path, sizeof(path), "%s/lib/modules/%s/modules.dep", root, release);
    file = fopen(path, "re");
    if (!file)
        return false;
    while (!is_found && fgets(line, sizeof(line), file)) {
        char *colon = strchr(line, ':');

        if (colon)
            *colon = '\0';
        is_found = strstr(line, MODULE ".ko") != NULL;
    }
    fclose(file);
    return is_found;
}

static bool is_secure_boot(const char *root)
{
    unsigned char value[5] = {0};
    char path[400];
    FILE *file;

    snprintf(path, sizeof(path), "%s" SECURE_BOOT, root);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (fread(value, 1, sizeof(value), file) != sizeof(value))
        value[4] = 0;
    fclose(file);
    return value[4] == 1;
}

bool doctor_examine_module(const char *root, struct findings *findings)
{
    struct utsname kernel;
    char path[400], hint[300];

    snprintf(path, sizeof(path), "%s/sys/module/" MODULE, root);
    if (access(path, F_OK) == 0) {
        findings_add(findings, true, "", "module " MODULE " is loaded");
        return true;
    }
    if (uname(&kernel) || !is_installed(root, kernel.release)) {
        snprintf(hint, sizeof(hint), "apt install virtio-keystore-dkms linux-headers-%.64s", kernel.release);
        findings_add(findings, false, hint, "there is no module " MODULE " for this kernel");
        return false;
    }
    findings_add(findings, false,
                 is_secure_boot(root) ? "modprobe " MODULE
                                        "; if the kernel rejects its key, Secure Boot wants the key that DKMS signs "
                                        "with: mokutil --import /var/lib/dkms/mok.pub, then restart and enroll it"
                                      : "load it: modprobe " MODULE,
                 "module " MODULE " is not loaded");
    return false;
}
