/* SPDX-License-Identifier: Apache-2.0 */
/* malloc and its family. Knows two sources; must not know what is allocated. */
#include "secret_heap.h"

#include <errno.h>
#include <stdalign.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "secret_arena.h"

#if defined(__SANITIZE_ADDRESS__)
#define HEAP_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define HEAP_ASAN 1
#endif
#endif

#ifdef HEAP_ASAN
/* The sanitizer's heap is the one that is to be watched. */
void vks_heap_begin(void)
{
}
#else

enum {
    EARLY_BYTES = 1 << 20,
    ALIGNMENT = 16,
};

/* In front of each block. */
struct head {
    alignas(ALIGNMENT) size_t size_bytes;
};

static alignas(ALIGNMENT) uint8_t early[EARLY_BYTES];
static size_t early_top;
static bool secret;

void vks_heap_begin(void)
{
    secret = true;
}

static struct head *take_early(size_t size_bytes)
{
    struct head *head;

    size_bytes = (size_bytes + ALIGNMENT - 1) & ~(size_t)(ALIGNMENT - 1);
    if (size_bytes > EARLY_BYTES - early_top)
        return NULL;
    head = (struct head *)(early + early_top);
    early_top += size_bytes;
    return head;
}

void *malloc(size_t size_bytes)
{
    struct head *head = NULL;

    if (size_bytes <= EARLY_BYTES) {
        size_t whole_bytes = sizeof(*head) + size_bytes;

        head = secret ? vks_secret_alloc(whole_bytes) : take_early(whole_bytes);
    }
    if (head == NULL) {
        errno = ENOMEM;
        return NULL;
    }
    head->size_bytes = size_bytes;
    return head + 1;
}

/* Both sources give zeros: early blocks are not given twice. */
void *calloc(size_t count, size_t size_bytes)
{
    if (size_bytes && count > EARLY_BYTES / size_bytes) {
        errno = ENOMEM;
        return NULL;
    }
    return malloc(count * size_bytes);
}

void free(void *block)
{
    if (block && ((uint8_t *)block < early || (uint8_t *)block >= early + EARLY_BYTES))
        vks_secret_free((struct head *)block - 1);
}

void *realloc(void *block, size_t size_bytes)
{
    size_t old_bytes = block ? ((struct head *)block - 1)->size_bytes : 0;
    void *moved = malloc(size_bytes);

    if (moved == NULL)
        return NULL;
    if (block)
        memcpy(moved, block, old_bytes < size_bytes ? old_bytes : size_bytes);
    free(block);
    return moved;
}
#endif
