/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit ring: fixed-size records from one worker (single producer) to keystored (single consumer), in state memory.
 *
 * A record is committed when head is published; no result byte of the request may be written before (promise P4). A
 * record may stay open for more requests that are equal to its first: they are added in one store, each before its own
 * result. keystored takes records in their order, up to the first one that is open. What a dead worker left open is
 * closed by whoever knows that it is dead.
 *
 * Neither side trusts the other's indices: a distance above record_count is a broken ring, not a number of records.
 */
#ifndef VKS_AUDIT_H
#define VKS_AUDIT_H

#include <stdint.h>

enum vks_audit_limit {
    VKS_AUDIT_RECORD_BYTES = 128,
    VKS_AUDIT_RING_HEAD_BYTES = 192,
    VKS_AUDIT_RING_RECORDS = 8192,  /* a power of two */
    VKS_AUDIT_REQUESTS_MAX = 65535, /* that one record covers */
};

enum vks_audit_flag {
    VKS_AUDIT_F_UID = 0x1,       /* uid was stamped by the guest's kernel */
    VKS_AUDIT_F_DIGEST = 0x2,    /* the input was a digest */
    VKS_AUDIT_F_SET_ASIDE = 0x4, /* not run: two workers died over it */
};

struct vks_audit_record {
    uint64_t record;           /* consecutive within the ring, from 1 */
    uint64_t request_sequence; /* of the first request that this record covers */
    uint64_t time_ns;          /* CLOCK_REALTIME when the outcome was known */
    uint64_t covered;          /* requests << 48 | sum of their input bytes: one word, so that both grow at once */
    uint8_t key_id[16];        /* zero where the operation has no key, as asked where there is no such key */
    uint32_t key_version;      /* used; as asked where none was used */
    uint32_t op;               /* enum vks_op, or the opcode's low byte where unknown */
    uint32_t mechanism;
    uint32_t status; /* enum vks_status */
    uint32_t flags;  /* enum vks_audit_flag */
    uint32_t uid;
    uint32_t attempt; /* 1 for a first run */
    uint32_t queue;   /* that the requests came by */
    uint32_t reserved[12];
};

struct vks_audit_ring {
    uint64_t head;   /* records ever committed; the worker writes it, release */
    uint64_t closed; /* the first so many records do not grow any more; the worker writes it, release */
    uint64_t head_line[6];
    uint64_t tail; /* records ever taken; keystored writes it, release */
    uint64_t tail_line[7];
    uint32_t record_count; /* VKS_AUDIT_RING_RECORDS */
    uint32_t record_bytes; /* VKS_AUDIT_RECORD_BYTES */
    uint64_t size_line[7];
    /* record_count records follow */
};

_Static_assert(sizeof(struct vks_audit_record) == VKS_AUDIT_RECORD_BYTES, "audit record layout");
_Static_assert(sizeof(struct vks_audit_ring) == VKS_AUDIT_RING_HEAD_BYTES, "audit ring head layout");

/* Worker: how many records fit; 0 when the ring is full or its indices are broken. */
uint32_t vks_audit_room(const struct vks_audit_ring *ring);
/* *covered* of one request; those of several add up. */
uint64_t vks_audit_covered(uint64_t input_bytes);
uint32_t vks_audit_covered_requests(uint64_t covered);
uint64_t vks_audit_covered_bytes(uint64_t covered);
/* Worker: copy *record* in, number it, publish it, open. -ENOSPC when full. */
int vks_audit_append(struct vks_audit_ring *ring, struct vks_audit_record *record);
/* Worker: the record of this number, which must be open, covers this now. */
void vks_audit_extend(struct vks_audit_ring *ring, uint64_t record, uint64_t covered);
/* Worker: nothing is added any more to the records up to this number, of which the last is head. */
void vks_audit_close_to(struct vks_audit_ring *ring, uint64_t record);
/* Worker, or keystored when no worker that had the ring lives any more: to none. */
void vks_audit_close(struct vks_audit_ring *ring);
/* keystored: copy up to *count_max* closed records from the tail without taking them; number copied, or -EPROTO. */
int vks_audit_peek(const struct vks_audit_ring *ring, struct vks_audit_record *records, uint32_t count_max);
/* keystored: records that wait to be taken, open ones among them; at most what the ring holds. */
uint32_t vks_audit_waiting(const struct vks_audit_ring *ring);
/*
 * keystored: which of *count* rings have closed records to take, or indices that cannot be: their numbers in *found*,
 * which has room for all; how many.
 */
uint32_t vks_audit_find_waiting(const struct vks_audit_ring *const *rings, uint32_t count, uint32_t *found);
/* keystored: take *count* records that were stored durably. */
void vks_audit_take(struct vks_audit_ring *ring, uint32_t count);

#endif
