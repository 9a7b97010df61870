/* SPDX-License-Identifier: BSD-3-Clause */
/* A peer's public key in a file. Pure: opens nothing, prints nothing. */
#ifndef VKS_CLI_PEER_H
#define VKS_CLI_PEER_H

#include "vks.h"

#define PEER_POINT_BYTES_MAX 97 /* P-384 */

struct peer {
    uint32_t type; /* enum vks_key_type */
    uint8_t point[PEER_POINT_BYTES_MAX];
    size_t size;
};

/* @file: SubjectPublicKeyInfo as PEM (RFC 7468) or DER, or the point as the device takes it; false: none of them. */
VKS_MUST_CHECK bool peer_parse(struct vks_bytes file, struct peer *peer);

#endif
