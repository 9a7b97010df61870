/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A backing grows from its start; a freed block goes to the list of its size class (every 16 bytes up to 1 KiB, then
 * eight classes per doubling) and is taken again from there: what a process of ours allocates are keys and contexts of
 * few kinds, again and again. When the backing is at its end a larger free block is cut; when there is none, free
 * neighbours are merged, all at once, so that keys of one kind find room where others have gone.
 * The head of a block carries a mark that differs between live and free: a double free or an overwritten head aborts.
 */
#include "arena_backing.h"

#include <stdlib.h>
#include <string.h>

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
    ALIGNMENT = VKS_BLOCK_ALIGNMENT,
    NEXT_BYTES = sizeof(uint8_t *),
    LINEAR_LOG2 = VKS_BLOCK_LINEAR_LOG2,
    LINEAR_BYTES = 1 << LINEAR_LOG2,
    LINEAR_COUNT = VKS_BLOCK_LINEAR_COUNT,
    CLASS_STEPS = VKS_BLOCK_STEPS,
    CLASS_COUNT = VKS_BLOCK_CLASSES,
};

static const uint32_t MARK_LIVE = 0x4c495645;
static const uint32_t MARK_FREE = 0x46524545;

struct block {
    uint32_t mark;
    uint32_t units;    /* of ALIGNMENT bytes, behind the head */
    size_t size_bytes; /* as asked for; of a free one 0 */
};

_Static_assert(sizeof(struct block) == ALIGNMENT, "the block behind a head is aligned");

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

bool vks_backing_has(const struct vks_backing *backing, const void *block)
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

static struct block *live_head_of(uint8_t *block)
{
    struct block *head = head_of(block);

    if (head->mark != MARK_LIVE || head->size_bytes > room_of(head))
        abort();
    return head;
}

/* Its bytes are wiped. */
static void list(struct vks_backing *backing, uint8_t *block)
{
    uint32_t class = class_within(room_of(head_of(block)));

    memcpy(block, &backing->free[class], NEXT_BYTES);
    backing->free[class] = block;
    POISON(block, room_of(head_of(block)));
}

static uint8_t *take_free(struct vks_backing *backing, uint32_t class)
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

static uint8_t *take_fresh(struct vks_backing *backing, uint32_t class)
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
static uint8_t *take_larger(struct vks_backing *backing, uint32_t class)
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
static struct block *next_head(const struct vks_backing *backing, struct block *head)
{
    uint8_t *next = (uint8_t *)(head + 1) + room_of(head);

    return next < backing->bytes + backing->top ? (struct block *)next : NULL;
}

/* Every run of free blocks is one, and one that reaches the top is none. */
static void merge(struct vks_backing *backing)
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

static uint8_t *take(struct vks_backing *backing, uint32_t class)
{
    uint8_t *block = take_free(backing, class);

    if (block == NULL)
        block = take_fresh(backing, class);
    return block ? block : take_larger(backing, class);
}

uint8_t *vks_backing_take(struct vks_backing *backing, size_t size_bytes)
{
    struct block *head;
    uint8_t *block;
    uint32_t class;

    if (size_bytes > (size_t)1 << VKS_BLOCK_LAST_LOG2)
        return NULL;
    class = class_of(size_bytes);
    block = take(backing, class);
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

void vks_backing_give(struct vks_backing *backing, uint8_t *block)
{
    struct block *head = live_head_of(block);

    UNPOISON(block, room_of(head));
    explicit_bzero(block, head->size_bytes);
    backing->used_bytes -= sizeof(*head) + room_of(head);
    *head = (struct block){MARK_FREE, head->units, 0};
    backing->has_freed = true;
    list(backing, block);
}

size_t vks_backing_block_bytes(uint8_t *block)
{
    return live_head_of(block)->size_bytes;
}
