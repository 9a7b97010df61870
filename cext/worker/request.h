/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding a request's head. Pure: bytes that were copied out of guest memory in, a checked request or a status out.
 *
 * Knows the device ABI; must not know guest memory, keys or grants.
 */
#ifndef VKS_WORKER_REQUEST_H
#define VKS_WORKER_REQUEST_H

#include <stdint.h>

#include "vmm_keystore.h"

/* A head in host byte order. After a refusal the fields say what was asked, as far as there was a head of ours. */
struct request {
    uint32_t op;        /* enum vks_op, or the opcode's low byte where unknown */
    uint32_t mechanism; /* as asked */
    uint32_t flags;
    uint32_t uid;
    uint8_t key_id[VKS_KEY_ID_BYTES];
    uint32_t key_version;
    uint32_t parameter_bytes;
    uint32_t aad_bytes;
    uint32_t input_bytes;
    uint32_t output_bytes;
};

/*
 * VKS_STATUS_OK, MALFORMED, VERSION or UNSUPPORTED, checked in this order (SPECIFICATION.md, 3). *readable_bytes* and
 * *writable_bytes* are those of the chain; *head* is not looked at where the chain is too short for one. Info is
 * decoded whatever its version (MUST-21).
 */
uint32_t request_decode(struct request *request, const struct vks_request_head *head, uint64_t readable_bytes,
                        uint64_t writable_bytes);
/* Parameter, associated data and input, which follow each other. */
uint32_t request_payload_bytes(const struct request *request);

#endif
