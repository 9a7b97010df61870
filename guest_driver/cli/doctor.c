/* SPDX-License-Identifier: BSD-3-Clause */
/* vks doctor: the system's side, or the socket's, then whether a device answers. */
#define _GNU_SOURCE /* secure_getenv */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "commands.h"
#include "doctor.h"
#include "io.h"

#define SOCKET_PREFIX "vhost-user:"

/* The socket that is to be used; NULL: it is a device of this machine. */
static const char *socket_named(const char *device)
{
    if (!device)
        device = secure_getenv("VKS_DEVICE");
    if (!device || strncmp(device, SOCKET_PREFIX, strlen(SOCKET_PREFIX)) != 0)
        return NULL;
    return device + strlen(SOCKET_PREFIX);
}

static void examine_answer(const char *path, struct findings *findings)
{
    struct vks_device_info info;
    struct vks_device *device;
    const char *hint;
    int error = vks_open(path, &device);

    if (!error) {
        error = vks_info(device, &info);
        if (!error)
            findings_add(findings, true, "", "%s answers: guest %s, %u keys", vks_path(device), info.guest_name,
                         info.key_count);
        vks_close(device);
    }
    if (error) {
        hint = vks_error_hint(error);
        findings_add(findings, false, hint && error != -ENOENT ? hint : "", "no answer from a device: %s",
                     vks_error_text(error));
    }
}

static void print_findings(const struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];

        printf("%-4s ", finding->is_ok ? "ok" : "bad");
        print_text(finding->text);
        putchar('\n');
        if (finding->hint[0])
            printf("     hint: %s\n", finding->hint);
    }
}

static void print_findings_json(const struct findings *findings)
{
    putchar('[');
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];

        printf("%s{\"ok\": %s, \"text\": ", i ? ",\n " : "", finding->is_ok ? "true" : "false");
        json_text(finding->text);
        printf(", \"hint\": ");
        json_text(finding->hint);
        putchar('}');
    }
    puts("]");
}

int command_doctor(const struct options *options)
{
    const char *socket = socket_named(options->device);
    struct findings findings = {.count = 0};
    int status = 0;

    if (socket)
        doctor_examine_socket(socket, &findings);
    else
        doctor_examine("", &findings);
    examine_answer(options->device, &findings);
    if (options->given & OPTION_JSON)
        print_findings_json(&findings);
    else
        print_findings(&findings);
    for (size_t i = 0; i < findings.count; i++)
        status |= !findings.list[i].is_ok;
    return status;
}
