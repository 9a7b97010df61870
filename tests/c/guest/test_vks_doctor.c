/* SPDX-License-Identifier: BSD-3-Clause */
/* What vks doctor says of a kernel module that is not loaded, in a machine that is a folder. */
#define _GNU_SOURCE
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>

#include "../check.h"
#include "doctor.h"

static char root[] = "/tmp/vks-doctor-XXXXXX";
static const char *secure_boot = "/sys/firmware/efi/efivars/SecureBoot-8be4df61-93ca-11d2-aa0d-00e098032b8c";

/* Writes a file of the machine, with the folders above it. */
static void put(const char *place, const void *data, size_t size)
{
    char path[600];
    FILE *file;

    snprintf(path, sizeof(path), "%s%s", root, place);
    for (char *slash = path + strlen(root) + 1; (slash = strchr(slash, '/')); slash++) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    file = fopen(path, "w");
    CHECK("made", file && fwrite(data, 1, size, file) == size && fclose(file) == 0);
}

static void said(bool is_loaded, const char *text, const char *hint)
{
    struct findings findings = {0};

    CHECK_EQUAL(text, doctor_examine_module(root, &findings), is_loaded);
    CHECK_EQUAL("one finding", findings.count, 1);
    CHECK_EQUAL(text, findings.list[0].is_ok, is_loaded);
    CHECK(text, strstr(findings.list[0].text, text));
    CHECK(hint, hint[0] ? strstr(findings.list[0].hint, hint) != NULL : findings.list[0].hint[0] == '\0');
}

static int take_away(const char *path, const struct stat *status, int kind, struct FTW *place)
{
    (void)status;
    (void)kind;
    (void)place;
    return remove(path);
}

int main(void)
{
    static const char another[] = "kernel/drivers/virtio/virtio_crypto.ko: kernel/virtio_keystore.ko\n";
    static const char ours[] = "updates/dkms/virtio_keystore.ko.xz:\n";
    struct utsname kernel;
    char dep[200], headers[200];

    CHECK("folder", mkdtemp(root) && uname(&kernel) == 0);
    snprintf(dep, sizeof(dep), "/lib/modules/%s/modules.dep", kernel.release);
    snprintf(headers, sizeof(headers), "linux-headers-%s", kernel.release);

    said(false, "there is no module", headers);
    /* Somebody who would need it is not it. */
    put(dep, another, sizeof(another) - 1);
    said(false, "there is no module", "virtio-keystore-dkms");
    put(dep, ours, sizeof(ours) - 1);
    said(false, "is not loaded", "load it: modprobe virtio_keystore");
    put(secure_boot, "\6\0\0\0\0", 5);
    said(false, "is not loaded", "load it");
    put(secure_boot, "\6\0\0\0\1", 5);
    said(false, "is not loaded", "mokutil --import");
    put(secure_boot, "\1\1\1\1", 4);
    said(false, "is not loaded", "load it");
    put("/sys/module/virtio_keystore/refcnt", "0\n", 2);
    said(true, "is loaded", "");
    CHECK_EQUAL("removed", nftw(root, take_away, 8, FTW_DEPTH | FTW_PHYS), 0);
    return 0;
}
