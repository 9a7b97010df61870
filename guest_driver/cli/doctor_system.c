/* SPDX-License-Identifier: BSD-3-Clause */
/* Which virtio devices of id 20 there are, who owns them, may this user open the nodes. */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "doctor.h"
#include "vks.h"

#define OUR_DRIVER "virtio_keystore"

static bool device_is_id_20(const char *folder)
{
    char path[512], text[32] = "";
    FILE *file;

    snprintf(path, sizeof(path), "%s/device", folder);
    file = fopen(path, "re");
    if (!file)
        return false;
    if (!fgets(text, sizeof(text), file))
        text[0] = '\0';
    fclose(file);
    return strtoul(text, NULL, 0) == VKS_VIRTIO_ID;
}

/* The last part of the link "driver"; empty where no driver is bound. */
static void driver_of(const char *folder, char *driver, size_t size)
{
    char path[512], target[256];
    ssize_t length;

    snprintf(path, sizeof(path), "%s/driver", folder);
    length = readlink(path, target, sizeof(target) - 1);
    target[length > 0 ? length : 0] = '\0';
    snprintf(driver, size, "%.60s", strrchr(target, '/') ? strrchr(target, '/') + 1 : target);
}

static void examine_device(const char *root, const char *name, bool is_loaded, struct findings *findings)
{
    char folder[400], driver[64], hint[300];

    snprintf(folder, sizeof(folder), "%s/sys/bus/virtio/devices/%s", root, name);
    if (!device_is_id_20(folder))
        return;
    driver_of(folder, driver, sizeof(driver));
    if (strcmp(driver, OUR_DRIVER) == 0) {
        findings_add(findings, true, "", "device %s belongs to %s", name, OUR_DRIVER);
    } else if (driver[0]) {
        snprintf(hint, sizeof(hint),
                 "echo %.20s >/sys/bus/virtio/drivers/%s/unbind; echo %.20s >/sys/bus/virtio/drivers/" OUR_DRIVER
                 "/bind; to make it last install the module's modprobe.d file",
                 name, driver, name);
        findings_add(findings, false, hint, "device %s of virtio id 20 belongs to the driver %s", name, driver);
    } else {
        findings_add(findings, false,
                     is_loaded ? "it declined the device: 'dmesg | grep virtio_keystore' says why"
                               : "load the driver: modprobe " OUR_DRIVER,
                     "device %s of virtio id 20 has no driver", name);
    }
}

static bool is_number_behind(const char *name, const char *prefix)
{
    size_t size = strlen(prefix);

    return strncmp(name, prefix, size) == 0 && name[size] >= '0' && name[size] <= '9';
}

/* Calls @visit for each entry "PREFIXnumber" of a folder; how many there were. */
typedef void visitor(const char *root, const char *name, bool is_loaded, struct findings *findings);

static unsigned int visit(const char *root, const char *place, const char *prefix, bool is_loaded, visitor *visit_one,
                          struct findings *findings)
{
    unsigned int count = 0;
    struct dirent *entry;
    char path[400];
    DIR *folder;

    snprintf(path, sizeof(path), "%s%s", root, place);
    folder = opendir(path);
    if (!folder)
        return 0;
    while ((entry = readdir(folder))) {
        if (!is_number_behind(entry->d_name, prefix))
            continue;
        visit_one(root, entry->d_name, is_loaded, findings);
        count++;
    }
    closedir(folder);
    return count;
}

static void examine_node(const char *root, const char *name, bool is_loaded, struct findings *findings)
{
    char path[400];

    (void)is_loaded;
    snprintf(path, sizeof(path), "%s/dev/%s", root, name);
    if (access(path, R_OK | W_OK) == 0)
        findings_add(findings, true, "", "/dev/%s may be used", name);
    else
        findings_add(findings, false,
                     errno == EACCES ? "become a member of its group: usermod -aG keystore USER, and log in again" : "",
                     "/dev/%s may not be used: %s", name, strerror(errno));
}

void doctor_examine(const char *root, struct findings *findings)
{
    bool is_loaded = doctor_examine_module(root, findings);
    size_t before = findings->count;

    visit(root, "/sys/bus/virtio/devices", "virtio", is_loaded, examine_device, findings);
    if (findings->count == before)
        findings_add(findings, false, "the host's operator adds it: vmm-keystore qemu-args NAME prints what QEMU needs",
                     "this machine has no virtio device of id 20");
    if (!visit(root, "/dev", "keystore", is_loaded, examine_node, findings) && is_loaded)
        findings_add(findings, false, "is /dev a devtmpfs?", "there is no /dev/keystore*");
}
