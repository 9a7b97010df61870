/* SPDX-License-Identifier: BSD-3-Clause */
/* Which devices there are: what $VKS_DEVICE names, as slot 0, or each /dev/keystoreN, as slot N. */
#ifndef PKCS11_DEVICE_NODES_H
#define PKCS11_DEVICE_NODES_H

#include <stddef.h>

struct device_node {
    unsigned long number;
    char path[256];
};

/* Their count, at most @room; those of the lowest numbers where there are more. */
size_t device_nodes_find(struct device_node *nodes, size_t room);

#endif
