/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The secret arena: every allocation of libcrypto, and our own secrets, in secret memory.
 *
 * Two backings. A process that forks workers starts with the public one, ordinary memory in which libcrypto's tables
 * are set up once and shared copy-on-write by all children. The child then switches: new blocks come from a fresh
 * secret mapping, and frees of public blocks are dropped. A process that does not fork switches at once. No secret may
 * exist before the switch. Blocks are wiped when freed. Thread-safe; a full arena returns NULL, which libcrypto
 * reports.
 *
 * Size: what RLIMIT_MEMLOCK leaves after VKS_SECRET_ARENA_RESERVED for stacks and key pages, at most
 * VKS_SECRET_ARENA_BYTES_MAX, which a privileged process gets by raising the limit; 6 MiB under the usual 8 MiB limit,
 * 1200 EC keys with a quarter left for what is being done. Only touched pages cost memory. LimitMEMLOCK raises it.
 */
#ifndef VKS_SECRET_ARENA_H
#define VKS_SECRET_ARENA_H

#include <stddef.h>

#include "ipc.h"

enum vks_secret_arena_limit {
    VKS_SECRET_ARENA_BYTES_MIN = 1 << 20,
    VKS_SECRET_ARENA_BYTES_MAX = 64 << 20,
    VKS_SECRET_ARENA_RESERVED = 2 << 20,
    VKS_SECRET_ARENA_PUBLIC_BYTES = 8 << 20,
};

/*
 * Make libcrypto allocate from the public backing. Must come before any other use of libcrypto in the process; -EBUSY
 * if libcrypto has allocated already.
 */
__attribute__((warn_unused_result)) int vks_secret_arena_install(void);
/*
 * Take the limit on locked memory that a switch wants and *further_bytes* more, as far as it may be had: for a process
 * whose children may no longer, or that locks more than an arena.
 */
void vks_secret_arena_raise_limit(size_t further_bytes);
/*
 * Map the secret backing and allocate from it from now on, leaving *stacks_bytes* more locked memory for stacks than
 * the two that most processes have. Single-threaded at this point. 0 or a negative errno.
 */
__attribute__((warn_unused_result)) int vks_secret_arena_switch(size_t stacks_bytes);
/* What the secret backing is made of; 0 before the switch. */
enum vks_secret_memory vks_secret_arena_memory(void);

void *vks_secret_alloc(size_t size_bytes); /* zeroed, 16-byte aligned; NULL when full */
void vks_secret_free(void *block);         /* wipes; NULL is fine */

struct vks_secret_arena_usage {
    size_t size_bytes; /* of the secret backing */
    size_t used_bytes; /* in blocks handed out, their heads included */
    size_t peak_bytes; /* highest address ever handed out, from the start */
};

struct vks_secret_arena_usage vks_secret_arena_usage(void);

#endif
