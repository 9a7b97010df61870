/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE /* secure_getenv */
#include "device_nodes.h"

#include <dirent.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NUMBER_MAX 1000000ul

static bool node_number(const char *name, unsigned long *number)
{
    static const char prefix[] = "keystore";
    char *end;

    if (strncmp(name, prefix, sizeof(prefix) - 1) != 0)
        return false;
    name += sizeof(prefix) - 1;
    if (*name < '0' || *name > '9')
        return false;
    errno = 0;
    *number = strtoul(name, &end, 10);
    return *end == '\0' && errno == 0 && *number <= NUMBER_MAX;
}

/* In the order of their numbers; the highest falls out where there is no room. */
static size_t insert(struct device_node *nodes, size_t count, size_t room, unsigned long number)
{
    size_t at = count;

    while (at > 0 && nodes[at - 1].number > number)
        at--;
    if (at == room)
        return count;
    if (count == room)
        count--;
    memmove(&nodes[at + 1], &nodes[at], (count - at) * sizeof(*nodes));
    nodes[at].number = number;
    snprintf(nodes[at].path, sizeof(nodes[at].path), "/dev/keystore%lu", number);
    return count + 1;
}

size_t device_nodes_find(struct device_node *nodes, size_t room)
{
    const char *named = secure_getenv("VKS_DEVICE");
    const struct dirent *entry;
    unsigned long number;
    size_t count = 0;
    DIR *folder;

    if (named && *named) {
        nodes[0].number = 0;
        return (size_t)snprintf(nodes[0].path, sizeof(nodes[0].path), "%s", named) < sizeof(nodes[0].path) ? 1 : 0;
    }
    folder = opendir("/dev");
    if (!folder)
        return 0;
    while ((entry = readdir(folder)))
        if (node_number(entry->d_name, &number))
            count = insert(nodes, count, room, number);
    closedir(folder);
    return count;
}
