/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a passphrase to a key: Argon2id (RFC 9106). The cost is the second recommendation of RFC 9106, section 4, for
 * where 2 GiB are too much.
 *
 * Its matrix holds no byte of the passphrase, but whoever had all of it could compute the key: it is in secret memory
 * where as much may be locked, else in ordinary memory that no dump and no child gets, with a line that says so. It is
 * wiped in both cases.
 */
#ifndef VKS_STRETCH_H
#define VKS_STRETCH_H

#include <stddef.h>
#include <stdint.h>

enum vks_stretch_limit {
    VKS_STRETCH_KEY_BYTES = 32,
    VKS_STRETCH_SALT_BYTES = 32,
    VKS_STRETCH_MEMORY_KIB = 64 << 10,
    VKS_STRETCH_PASSES = 3,
    VKS_STRETCH_LANES = 4,
    /* What a file may ask for: whoever can write it must not make a start endless. */
    VKS_STRETCH_MEMORY_KIB_MIN = 1 << 10,
    VKS_STRETCH_MEMORY_KIB_MAX = 1 << 20,
    VKS_STRETCH_PASSES_MAX = 64,
    VKS_STRETCH_LANES_MAX = 64,
    /* Locked memory that the usual cost takes, guard pages aside. */
    VKS_STRETCH_BYTES = VKS_STRETCH_MEMORY_KIB << 10,
};

struct vks_stretch_cost {
    uint32_t memory_kib;
    uint32_t passes;
    uint32_t lanes; /* computed one after the other */
};

/* 0, -EINVAL a cost out of bounds, -ENOMEM, -EIO. */
__attribute__((warn_unused_result)) int vks_stretch(const uint8_t *passphrase, size_t passphrase_bytes,
                                                    const uint8_t salt[VKS_STRETCH_SALT_BYTES],
                                                    const struct vks_stretch_cost *cost,
                                                    uint8_t key[VKS_STRETCH_KEY_BYTES]);

#endif
