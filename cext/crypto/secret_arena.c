/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The allocator of the secret arena. Knows blocks and classes; must not know what libcrypto keeps in them.
 *
 * Each backing grows from its start; a freed block goes to the list of its size class (every 16 bytes up to 1 KiB, then
 * eight classes per doubling) and is taken again from there: what a process of ours allocates are keys and contexts of
 * few kinds, again and again. When the backing is at its end a larger free block is cut; when there is none, free
 * neighbours are merged, all at once, so that keys of one kind find room where others have gone.
 * The head of a block carries a mark that differs between live and free: a double free or an overwritten head aborts.
 */
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

#include "secret_map.h"

/* Under ASan free blocks and the unused ends of live ones are poisoned, so that it sees overflows in here too. */
#if defined(__SANITIZE_ADDRESS__)
#define ARENA_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_ASAN 1
#endif
#endif
#ifdef ARENA_ASAN
#include <sanitizer/asan_interface.h>
#define POISON(address, size_bytes)   ASAN_POISON_MEMORY_REGION(address, size_bytes)
#define UNPOISON(address, size_bytes) ASAN_UNPOISON_MEMORY_REGION(address, size_bytes)
#else
#define POISON(address, size_bytes)   ((void)(address), (void)(size_bytes))
#define UNPOISON(address, size_bytes) ((void)(address), (void)(size_bytes))
#endif

enum {
    ALIGNMENT = 16,
    NEXT_BYTES = sizeof(uint8_t *),
    LINEAR_LOG2 = 10, /* most of what libcrypto allocates is less than that, and much of it very small */
    LINEAR_BYTES = 1 << LINEAR_LOG2,
    LINEAR_COUNT = LINEAR_BYTES / ALIGNMENT,
    CLASS_LAST_LOG2 = 26,
    CLASS_STEPS = 8,
    CLASS_COUNT = LINEAR_COUNT + (CLASS_LAST_LOG2 - LINEAR_LOG2) * CLASS_STEPS,
};

static const uint32_t MARK_LIVE = 0x4c495645;
static const uint32_t MARK_FREE = 0x46524545;

struct block {
    uint32_t mark;
    uint32_t units;    /* of ALIGNMENT bytes, behind the head */
    size_t size_bytes; /* as asked for; of a free one 0 */
};

_Static_assert(sizeof(struct block) == ALIGNMENT, "the block behind a head is aligned");

struct backing {
    uint8_t *bytes;
    size_t size_bytes;
    size_t top; /* blocks lie in front of it, one behind the other */
    size_t peak;
    size_t used_bytes;
    bool has_freed;             /* since neighbours were merged */
    uint8_t *free[CLASS_COUNT]; /* a free block's first bytes are the next one's address */
};

static struct {
    pthread_mutex_t lock;
    struct backing public;
    struct backing secret;
    struct backing *current;
    enum vks_secret_memory memory;
} arena = {.lock = PTHREAD_MUTEX_INITIALIZER};

/* *size_bytes* is 1 at least, and the last class's at most. */
static uint32_t class_of(size_t size_bytes)
{
    uint32_t log2;
    size_t step;

    if (size_bytes <= LINEAR_BYTES)
        return (uint32_t)((size_bytes - 1) / ALIGNMENT);
    log2 = 63 - (uint32_t)__builtin_clzll(size_bytes - 1);
    step = ((size_t)1 << log2) / CLASS_STEPS;
    return LINEAR_COUNT + (log2 - LINEAR_LOG2) * CLASS_STEPS +
           (uint32_t)((size_bytes - 1 - ((size_t)1 << log2)) / step);
}

static size_t class_bytes(uint32_t class)
{
    size_t base;

    if (class < LINEAR_COUNT)
        return (class + 1) * (size_t)ALIGNMENT;
    class -= LINEAR_COUNT;
    base = (size_t)1 << (LINEAR_LOG2 + class / CLASS_STEPS);
    return base + base / CLASS_STEPS * (class % CLASS_STEPS + 1);
}

/* The last class whose blocks are no larger. */
static uint32_t class_within(size_t size_bytes)
{
    uint32_t class = class_of(size_bytes);

    return class_bytes(class) > size_bytes ? class - 1 : class;
}

static bool backing_has(const struct backing *backing, const void *block)
{
    uintptr_t offset = (uintptr_t)block - (uintptr_t)backing->bytes;

    return backing->bytes != NULL && (uintptr_t)block >= (uintptr_t)backing->bytes && offset < backing->size_bytes;
}

static struct block *head_of(uint8_t *block)
{
    return (struct block *)(block - sizeof(struct block));
}

static size_t room_of(const struct block *head)
{
    return (size_t)head->units * ALIGNMENT;
}

static struct block *live_head_of(void *block)
{
    struct block *head = head_of(block);

    if (head->mark != MARK_LIVE || head->size_bytes > room_of(head))
        abort();
    return head;
}

/* Its bytes are wiped. */
static void list(struct backing *backing, uint8_t *block)
{
    uint32_t class = class_within(room_of(head_of(block)));

    memcpy(block, &backing->free[class], NEXT_BYTES);
    backing->free[class] = block;
    POISON(block, room_of(head_of(block)));
}

static uint8_t *take_free(struct backing *backing, uint32_t class)
{
    uint8_t *block = backing->free[class];

    if (block == NULL)
        return NULL;
    if (head_of(block)->mark != MARK_FREE)
        abort();
    UNPOISON(block, room_of(head_of(block)));
    memcpy(&backing->free[class], block, NEXT_BYTES);
    explicit_bzero(block, NEXT_BYTES);
    return block;
}

static uint8_t *take_fresh(struct backing *backing, uint32_t class)
{
    size_t need = sizeof(struct block) + class_bytes(class);
    uint8_t *block;

    if (need > backing->size_bytes - backing->top)
        return NULL;
    block = backing->bytes + backing->top + sizeof(struct block);
    head_of(block)->units = (uint32_t)(class_bytes(class) / ALIGNMENT);
    backing->top += need;
    if (backing->peak < backing->top)
        backing->peak = backing->top;
    return block;
}

/* A larger one, of which the rest stays free. */
static uint8_t *take_larger(struct backing *backing, uint32_t class)
{
    size_t keep = class_bytes(class);
    uint8_t *block = NULL;
    struct block *rest;

    while (block == NULL && ++class < CLASS_COUNT)
        block = take_free(backing, class);
    if (block == NULL || room_of(head_of(block)) - keep < sizeof(*rest) + ALIGNMENT)
        return block;
    rest = (struct block *)(block + keep);
    *rest = (struct block){MARK_FREE, (uint32_t)((room_of(head_of(block)) - keep - sizeof(*rest)) / ALIGNMENT), 0};
    head_of(block)->units = (uint32_t)(keep / ALIGNMENT);
    list(backing, (uint8_t *)(rest + 1));
    return block;
}

/* The head behind *head*, or NULL at the top. */
static struct block *next_head(const struct backing *backing, struct block *head)
{
    uint8_t *next = (uint8_t *)(head + 1) + room_of(head);

    return next < backing->bytes + backing->top ? (struct block *)next : NULL;
}

/* Every run of free blocks is one, and one that reaches the top is none. */
static void merge(struct backing *backing)
{
    struct block *head = backing->top ? (struct block *)backing->bytes : NULL, *next;

    memset(backing->free, 0, sizeof(backing->free));
    backing->has_freed = false;
    for (; head; head = next) {
        next = next_head(backing, head);
        if (head->mark == MARK_LIVE)
            continue;
        if (head->mark != MARK_FREE)
            abort();
        UNPOISON(head + 1, room_of(head));
        explicit_bzero(head + 1, NEXT_BYTES);
        while (next && next->mark == MARK_FREE) {
            UNPOISON(next + 1, room_of(next));
            explicit_bzero(next + 1, NEXT_BYTES);
            head->units += 1 + next->units;
            next = next_head(backing, head);
        }
        if (next)
            list(backing, (uint8_t *)(head + 1));
        else
            backing->top = (size_t)((uint8_t *)head - backing->bytes);
    }
}

static uint8_t *take(struct backing *backing, uint32_t class)
{
    uint8_t *block = take_free(backing, class);

    if (block == NULL)
        block = take_fresh(backing, class);
    return block ? block : take_larger(backing, class);
}

static uint8_t *backing_take(struct backing *backing, size_t size_bytes)
{
    uint32_t class = class_of(size_bytes);
    uint8_t *block = take(backing, class);
    struct block *head;

    if (block == NULL && backing->has_freed) {
        merge(backing);
        block = take(backing, class);
    }
    if (block == NULL)
        return NULL;
    head = head_of(block);
    *head = (struct block){MARK_LIVE, head->units, size_bytes};
    backing->used_bytes += sizeof(*head) + room_of(head);
    POISON(block + size_bytes, room_of(head) - size_bytes);
    return block;
}

static void *arena_alloc(size_t size_bytes)
{
    uint8_t *block = NULL;

    if (size_bytes > (size_t)1 << CLASS_LAST_LOG2)
        return NULL;
    pthread_mutex_lock(&arena.lock);
    if (arena.current)
        block = backing_take(arena.current, size_bytes ? size_bytes : 1);
    pthread_mutex_unlock(&arena.lock);
    return block;
}

static void arena_free(void *block)
{
    struct backing *backing;
    struct block *head;

    if (block == NULL)
        return;
    pthread_mutex_lock(&arena.lock);
    backing = backing_has(&arena.secret, block) ? &arena.secret : &arena.public;
    if (!backing_has(backing, block))
        abort();
    /* After the switch a public block is the zygote's: writing to it would only copy a shared page. */
    if (backing == arena.current) {
        head = live_head_of(block);
        UNPOISON(block, room_of(head));
        explicit_bzero(block, head->size_bytes);
        backing->used_bytes -= sizeof(*head) + room_of(head);
        *head = (struct block){MARK_FREE, head->units, 0};
        backing->has_freed = true;
        list(backing, block);
    }
    pthread_mutex_unlock(&arena.lock);
}

static void *arena_realloc(void *block, size_t size_bytes)
{
    struct block *head;
    size_t old_bytes;
    void *moved;

    if (block == NULL)
        return arena_alloc(size_bytes);
    if (size_bytes == 0) {
        arena_free(block);
        return NULL;
    }
    head = live_head_of(block);
    old_bytes = head->size_bytes;
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
    arena.public = (struct backing){.bytes = bytes, .size_bytes = VKS_SECRET_ARENA_PUBLIC_BYTES};
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
static size_t arena_bytes(void)
{
    rlim_t limit = raise_limit((rlim_t)VKS_SECRET_ARENA_BYTES_MAX + VKS_SECRET_ARENA_RESERVED);

    if (limit >= (rlim_t)VKS_SECRET_ARENA_BYTES_MAX + VKS_SECRET_ARENA_RESERVED)
        return VKS_SECRET_ARENA_BYTES_MAX;
    if (limit <= (rlim_t)VKS_SECRET_ARENA_BYTES_MIN + VKS_SECRET_ARENA_RESERVED)
        return VKS_SECRET_ARENA_BYTES_MIN;
    return (size_t)limit - VKS_SECRET_ARENA_RESERVED;
}

void vks_secret_arena_raise_limit(size_t further_bytes)
{
    (void)raise_limit((rlim_t)VKS_SECRET_ARENA_BYTES_MAX + VKS_SECRET_ARENA_RESERVED + further_bytes);
}

int vks_secret_arena_switch(void)
{
    struct vks_secret_map map;
    int error;

    if (arena.current != &arena.public)
        return -EBUSY;
    error = vks_secret_map_create(&map, arena_bytes());
    if (error)
        return error;
    arena.secret = (struct backing){.bytes = map.bytes, .size_bytes = map.size_bytes};
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
