/* SPDX-License-Identifier: Apache-2.0 */
/* Argon2id by libargon2. Knows its memory; must not know what the key opens. */
#include "stretch.h"

#include <argon2.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <sys/mman.h>

#include "secret_map.h"

static struct vks_secret_map matrix; /* not in secret memory while its size is zero */

static int take_ordinary(uint8_t **memory, size_t size_bytes)
{
    void *bytes = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (bytes == MAP_FAILED)
        return -1;
    if (madvise(bytes, size_bytes, MADV_DONTDUMP) != 0 || madvise(bytes, size_bytes, MADV_DONTFORK) != 0) {
        munmap(bytes, size_bytes);
        return -1;
    }
    *memory = bytes;
    fputs("vks-custodian: the matrix of Argon2id is in memory that may be swapped out while it works\n"
          "hint: raise the limit on locked memory to 160 MiB (ulimit -l 163840, LimitMEMLOCK=160M)\n",
          stderr);
    return 0;
}

static int take_memory(uint8_t **memory, size_t size_bytes)
{
    if (vks_secret_map_create(&matrix, size_bytes) != 0) {
        matrix = (struct vks_secret_map){0};
        return take_ordinary(memory, size_bytes);
    }
    *memory = matrix.bytes;
    return 0;
}

static void give_memory(uint8_t *memory, size_t size_bytes)
{
    if (matrix.size_bytes == 0) {
        OPENSSL_cleanse(memory, size_bytes);
        munmap(memory, size_bytes);
        return;
    }
    vks_secret_map_wipe(&matrix);
    matrix = (struct vks_secret_map){0};
}

int vks_stretch(const uint8_t *passphrase, size_t passphrase_bytes, const uint8_t salt[VKS_STRETCH_SALT_BYTES],
                const struct vks_stretch_cost *cost, uint8_t key[VKS_STRETCH_KEY_BYTES])
{
    argon2_context context = {
        .out = key,
        .outlen = VKS_STRETCH_KEY_BYTES,
        .pwd = (uint8_t *)(uintptr_t)passphrase,
        .pwdlen = (uint32_t)passphrase_bytes,
        .salt = (uint8_t *)(uintptr_t)salt,
        .saltlen = VKS_STRETCH_SALT_BYTES,
        .t_cost = cost->passes,
        .m_cost = cost->memory_kib,
        .lanes = cost->lanes,
        .threads = 1, /* a thread of libargon2 would have its stack in ordinary memory */
        .version = ARGON2_VERSION_13,
        .allocate_cbk = take_memory,
        .free_cbk = give_memory,
        .flags = ARGON2_DEFAULT_FLAGS,
    };

    if (cost->memory_kib < VKS_STRETCH_MEMORY_KIB_MIN || cost->memory_kib > VKS_STRETCH_MEMORY_KIB_MAX ||
        cost->passes == 0 || cost->passes > VKS_STRETCH_PASSES_MAX || cost->lanes == 0 ||
        cost->lanes > VKS_STRETCH_LANES_MAX || passphrase_bytes > UINT32_MAX)
        return -EINVAL;
    switch (argon2id_ctx(&context)) {
    case ARGON2_OK:
        return 0;
    case ARGON2_MEMORY_ALLOCATION_ERROR:
        return -ENOMEM;
    default:
        return -EIO;
    }
}
