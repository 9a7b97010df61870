/* SPDX-License-Identifier: Apache-2.0 */
/* libcrypto's memory: which backing a block comes from, and how large the secret one may be. */
#include "secret_arena.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>

#include "arena_backing.h"
#include "secret_map.h"

static struct {
    pthread_mutex_t lock;
    struct vks_backing public;
    struct vks_backing secret;
    struct vks_backing *current;
    enum vks_secret_memory memory;
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

static void *arena_alloc(size_t size_bytes)
{
    uint8_t *block = NULL;

    pthread_mutex_lock(&arena.lock);
    if (arena.current)
        block = vks_backing_take(arena.current, size_bytes ? size_bytes : 1);
    pthread_mutex_unlock(&arena.lock);
    return block;
}

static void arena_free(void *block)
{
    struct vks_backing *backing;

    if (block == NULL)
        return;
    pthread_mutex_lock(&arena.lock);
    backing = vks_backing_has(&arena.secret, block) ? &arena.secret : &arena.public;
    if (!vks_backing_has(backing, block))
        abort();
    /* After the switch a public block is the zygote's: writing to it would only copy a shared page. */
    if (backing == arena.current)
        vks_backing_give(backing, block);
    pthread_mutex_unlock(&arena.lock);
}

static void *arena_realloc(void *block, size_t size_bytes)
{
    size_t old_bytes;
    void *moved;

    if (block == NULL)
        return arena_alloc(size_bytes);
    if (size_bytes == 0) {
        arena_free(block);
        return NULL;
    }
    old_bytes = vks_backing_block_bytes(block);
    moved = arena_alloc(size_bytes);
    if (moved == NULL)
        return NULL;
    memcpy(moved, block, old_bytes < size_bytes ? old_bytes : size_bytes);
    arena_free(block);
    return moved;
}

static void *crypto_malloc(size_t size_bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return size_bytes ? arena_alloc(size_bytes) : NULL;
}

static void *crypto_realloc(void *block, size_t size_bytes, const char *file, int line)
{
    (void)file;
    (void)line;
    return arena_realloc(block, size_bytes);
}

static void crypto_free(void *block, const char *file, int line)
{
    (void)file;
    (void)line;
    arena_free(block);
}

int vks_secret_arena_install(void)
{
    void *bytes;

    if (arena.current)
        return -EBUSY;
    bytes = mmap(NULL, VKS_SECRET_ARENA_PUBLIC_BYTES, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (bytes == MAP_FAILED)
        return -ENOMEM;
    arena.public = (struct vks_backing){.bytes = bytes, .size_bytes = VKS_SECRET_ARENA_PUBLIC_BYTES};
    arena.current = &arena.public;
    if (CRYPTO_set_mem_functions(crypto_malloc, crypto_realloc, crypto_free) != 1) {
        munmap(bytes, VKS_SECRET_ARENA_PUBLIC_BYTES);
        arena.current = NULL;
        return -EBUSY;
    }
    return 0;
}

/*
 * Have at least *want* as the limit on locked memory, as far as that goes; what it is then. A privileged process takes
 * what it wants as a limit, not by its capability: it still holds when the process has dropped that.
 */
static rlim_t raise_limit(rlim_t want)
{
    struct rlimit limit;

    if (getrlimit(RLIMIT_MEMLOCK, &limit) != 0)
        return 0;
    if (limit.rlim_cur < want) {
        struct rlimit raised = {want, limit.rlim_max < want ? want : limit.rlim_max};

        if (setrlimit(RLIMIT_MEMLOCK, &raised) == 0)
            return want;
        raised = (struct rlimit){limit.rlim_max, limit.rlim_max};
        if (setrlimit(RLIMIT_MEMLOCK, &raised) == 0)
            limit = raised;
    }
    return limit.rlim_cur;
}

/* What the process may lock besides stacks and key pages. */
static size_t arena_bytes(size_t stacks_bytes)
{
    rlim_t reserved = (rlim_t)VKS_SECRET_ARENA_RESERVED + stacks_bytes;
    rlim_t limit = raise_limit(VKS_SECRET_ARENA_BYTES_MAX + reserved);

    if (limit >= VKS_SECRET_ARENA_BYTES_MAX + reserved)
        return VKS_SECRET_ARENA_BYTES_MAX;
    if (limit <= VKS_SECRET_ARENA_BYTES_MIN + reserved)
        return VKS_SECRET_ARENA_BYTES_MIN;
    return (size_t)(limit - reserved);
}

void vks_secret_arena_raise_limit(size_t further_bytes)
{
    (void)raise_limit((rlim_t)VKS_SECRET_ARENA_BYTES_MAX + VKS_SECRET_ARENA_RESERVED + further_bytes);
}

int vks_secret_arena_switch(size_t stacks_bytes)
{
    struct vks_secret_map map;
    int error;

    if (arena.current != &arena.public)
        return -EBUSY;
    error = vks_secret_map_create(&map, arena_bytes(stacks_bytes));
    if (error)
        return error;
    arena.secret = (struct vks_backing){.bytes = map.bytes, .size_bytes = map.size_bytes};
    arena.memory = map.memory;
    arena.current = &arena.secret;
    return 0;
}

enum vks_secret_memory vks_secret_arena_memory(void)
{
    return arena.memory;
}

void *vks_secret_alloc(size_t size_bytes)
{
    void *block = arena_alloc(size_bytes);

    /* Blocks come back wiped, but only as far as they were used; a larger one may not have been. */
    if (block)
        memset(block, 0, size_bytes);
    return block;
}

void vks_secret_free(void *block)
{
    arena_free(block);
}

struct vks_secret_arena_usage vks_secret_arena_usage(void)
{
    struct vks_secret_arena_usage usage;

    pthread_mutex_lock(&arena.lock);
    usage.size_bytes = arena.secret.size_bytes;
    usage.used_bytes = arena.secret.used_bytes;
    usage.peak_bytes = arena.secret.peak;
    pthread_mutex_unlock(&arena.lock);
    return usage;
}
