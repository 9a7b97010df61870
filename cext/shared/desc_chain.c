/* SPDX-License-Identifier: Apache-2.0 */
/* Walking a chain that its owner may be changing meanwhile, and copying through the ranges it gave. */
#include "desc_chain.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

/* A descriptor as it may lie in guest memory: nothing aligns an indirect table (2.7.5.3). */
struct unaligned_desc {
    uint64_t addr;
    uint32_t len;
    uint16_t flags;
    uint16_t next;
} __attribute__((packed));

/* Where the walk is: the ring's own table, or one indirect table in guest memory. */
struct walk {
    const volatile struct unaligned_desc *table;
    uint32_t table_count;
    uint32_t index;
    uint32_t descriptor_count;
    int indirect;
};

/* Each field exactly once: between two loads of a field the guest may change it. */
static struct vring_desc desc_load(const volatile struct unaligned_desc *from)
{
    struct vring_desc desc;

    desc.addr = from->addr;
    desc.len = from->len;
    desc.flags = from->flags;
    desc.next = from->next;
    return desc;
}

static int enter_indirect(struct walk *walk, const struct vks_guest_mem *mem, const struct vring_desc *desc)
{
    uint32_t count = desc->len / (uint32_t)sizeof(struct vring_desc);

    if (walk->indirect || (desc->flags & VRING_DESC_F_NEXT) || count == 0 || desc->len % sizeof(struct vring_desc) ||
        count > VKS_DESCRIPTORS_MAX)
        return -EINVAL;
    walk->table = (const volatile struct unaligned_desc *)vks_guest_range(mem, desc->addr, desc->len);
    if (!walk->table)
        return -EFAULT;
    walk->table_count = count;
    walk->index = 0;
    walk->indirect = 1;
    return 0;
}

/* What is wrong with one range does not end the walk: the status byte behind it may still be found. */
static int add_segment(struct vks_desc_chain *chain, const struct vks_guest_mem *mem, const struct vring_desc *desc)
{
    struct vks_segment *segment = &chain->segment[chain->segment_count];
    int writable = (desc->flags & VRING_DESC_F_WRITE) != 0;

    if (!writable && chain->segment_count > chain->readable_count)
        return -EINVAL;
    if (desc->len == 0)
        return 0;
    segment->gpa = desc->addr;
    segment->size_bytes = desc->len;
    segment->reserved = 0;
    segment->host = vks_guest_range(mem, desc->addr, desc->len);
    chain->segment_count++;
    if (!writable) {
        chain->readable_count++;
        chain->readable_bytes += desc->len;
    } else {
        chain->writable_bytes += desc->len;
        chain->status = segment->host ? segment->host + desc->len - 1 : NULL;
    }
    return segment->host ? 0 : -EFAULT;
}

static int segments_overlap(const struct vks_segment *a, const struct vks_segment *b)
{
    return a->gpa < b->gpa ? b->gpa - a->gpa < a->size_bytes : a->gpa - b->gpa < b->size_bytes;
}

/* Every segment lies in guest memory, so last addresses cannot wrap. */
static void span(const struct vks_segment *segment, uint32_t count, uint64_t *first, uint64_t *last)
{
    *first = UINT64_MAX;
    *last = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t end = segment[i].gpa + (segment[i].size_bytes - 1);

        *first = segment[i].gpa < *first ? segment[i].gpa : *first;
        *last = end > *last ? end : *last;
    }
}

static int check_overlap(const struct vks_desc_chain *chain)
{
    const struct vks_segment *writable = chain->segment + chain->readable_count;
    uint32_t writable_count = chain->segment_count - chain->readable_count;
    uint64_t first, last, writable_first, writable_last;

    if (!chain->readable_count || !writable_count)
        return 0;
    span(chain->segment, chain->readable_count, &first, &last);
    span(writable, writable_count, &writable_first, &writable_last);
    /* The usual request: all of one kind below all of the other. */
    if (last < writable_first || writable_last < first)
        return 0;
    for (uint32_t i = 0; i < chain->readable_count; i++)
        for (uint32_t j = 0; j < writable_count; j++)
            if (segments_overlap(&chain->segment[i], &writable[j]))
                return -EINVAL;
    return 0;
}

/* 1: *desc* is the next one with bytes, 0: the chain has ended, or the error that makes its end unknown. */
static int next_desc(struct walk *walk, const struct vks_guest_mem *mem, struct vring_desc *desc)
{
    int error;

    if (walk->index == UINT32_MAX)
        return 0;
    for (;;) {
        if (walk->index >= walk->table_count)
            return -EINVAL;
        *desc = desc_load(&walk->table[walk->index]);
        if (!(desc->flags & VRING_DESC_F_INDIRECT))
            break;
        error = enter_indirect(walk, mem, desc);
        if (error)
            return error;
    }
    /* What only points to a table does not count: it happens once. */
    if (walk->descriptor_count++ == VKS_DESCRIPTORS_MAX)
        return -E2BIG;
    walk->index = desc->flags & VRING_DESC_F_NEXT ? desc->next : UINT32_MAX;
    return 1;
}

int vks_desc_chain_walk(struct vks_desc_chain *chain, const struct vks_guest_mem *mem,
                        const volatile struct vring_desc *table, uint32_t table_count, uint32_t head)
{
    struct walk walk = {
        .table = (const volatile struct unaligned_desc *)table, .table_count = table_count, .index = head};
    struct vring_desc desc;
    int found, error, first_error = 0;

    chain->readable_bytes = chain->writable_bytes = 0;
    chain->readable_count = chain->segment_count = 0;
    chain->status = NULL;
    while ((found = next_desc(&walk, mem, &desc)) == 1) {
        error = add_segment(chain, mem, &desc);
        if (error && !first_error)
            first_error = error;
    }
    if (found < 0) {
        chain->status = NULL;
        return found;
    }
    return first_error ? first_error : check_overlap(chain);
}

int vks_desc_chain_resolve(struct vks_desc_chain *chain, const struct vks_guest_mem *mem)
{
    chain->status = NULL;
    for (uint32_t i = 0; i < chain->segment_count; i++) {
        struct vks_segment *segment = &chain->segment[i];

        segment->host = vks_guest_range(mem, segment->gpa, segment->size_bytes);
        if (!segment->host)
            return -EFAULT;
        if (i >= chain->readable_count)
            chain->status = segment->host + segment->size_bytes - 1;
    }
    return 0;
}

int vks_desc_chain_read(const struct vks_desc_chain *chain, uint64_t offset, void *to, uint32_t size_bytes)
{
    uint8_t *next = to;

    if (offset > chain->readable_bytes || size_bytes > chain->readable_bytes - offset)
        return -EFAULT;
    for (uint32_t i = 0; size_bytes && i < chain->readable_count; i++) {
        const struct vks_segment *segment = &chain->segment[i];
        uint32_t part;

        if (offset >= segment->size_bytes) {
            offset -= segment->size_bytes;
            continue;
        }
        part = segment->size_bytes - (uint32_t)offset;
        part = part < size_bytes ? part : size_bytes;
        memcpy(next, segment->host + offset, part);
        next += part;
        size_bytes -= part;
        offset = 0;
    }
    /* The copy is what counts from here on: no compiler may go back to the source. */
    __asm__ volatile("" ::: "memory");
    return 0;
}

void vks_desc_chain_write(const struct vks_desc_chain *chain, uint64_t offset, const void *from, uint64_t size_bytes)
{
    const uint8_t *next = from;

    for (uint32_t i = chain->readable_count; size_bytes && i < chain->segment_count; i++) {
        const struct vks_segment *segment = &chain->segment[i];
        uint64_t part;

        if (offset >= segment->size_bytes) {
            offset -= segment->size_bytes;
            continue;
        }
        part = segment->size_bytes - offset;
        part = part < size_bytes ? part : size_bytes;
        if (next) {
            memcpy(segment->host + offset, next, part);
            next += part;
        } else {
            memset(segment->host + offset, 0, part);
        }
        size_bytes -= part;
        offset = 0;
    }
}
