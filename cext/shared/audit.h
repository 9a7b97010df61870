/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The audit ring: fixed-size records from one worker (single producer) to keystored (single consumer), in state memory.
 *
 * A record is committed when head is published; no result byte of the request may be written before (promise P4).
 * Neither side trusts the other's index: a distance above record_count is a broken ring, not a number of records.
 */
#ifndef VKS_AUDIT_H
#define VKS_AUDIT_H

#include <stdint.h>

enum vks_audit_limit {
    VKS_AUDIT_RECORD_BYTES = 128,
    VKS_AUDIT_RING_HEAD_BYTES = 192,
    VKS_AUDIT_RING_RECORDS = 8192, /* a power of two */
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
    uint64_t input_bytes;      /* sum over the requests covered */
    uint8_t key_id[16];        /* zero where the operation has no key, as asked where there is no such key */
    uint32_t key_version;      /* used; as asked where none was used */
    uint32_t op;               /* enum vks_op, or the opcode's low byte where unknown */
    uint32_t mechanism;
    uint32_t status; /* enum vks_status */
    uint32_t flags;  /* enum vks_audit_flag */
    uint32_t uid;
    uint32_t request_count; /* requests covered: > 1 only for equal allowed operations of one batch */
    uint32_t attempt;       /* 1 for a first run */
    uint32_t queue;
    uint32_t reserved[11];
};

struct vks_audit_ring {
    uint64_t head; /* records ever committed; the worker writes it, release */
    uint64_t head_line[7];
    uint64_t tail; /* records ever taken; keystored writes it, release */
    uint64_t tail_line[7];
    uint32_t record_count; /* VKS_AUDIT_RING_RECORDS */
    uint32_t record_bytes; /* VKS_AUDIT_RECORD_BYTES */
    uint64_t size_line[7];
    /* record_count records follow */
};

_Static_assert(sizeof(struct vks_audit_record) == VKS_AUDIT_RECORD_BYTES, "audit record layout");
_Static_assert(sizeof(struct vks_audit_ring) == VKS_AUDIT_RING_HEAD_BYTES, "audit ring head layout");

/* Worker: 1 when a record fits, 0 when the ring is full or its indices are broken. */
int vks_audit_has_room(const struct vks_audit_ring *ring);
/* Worker: copy *record* in, number it, publish it. -ENOSPC when full. */
int vks_audit_append(struct vks_audit_ring *ring, struct vks_audit_record *record);
/* keystored: copy up to *count_max* records from the tail without taking them; number copied, or -EPROTO. */
int vks_audit_peek(const struct vks_audit_ring *ring, struct vks_audit_record *records, uint32_t count_max);
/* keystored: take *count* records that were stored durably. */
void vks_audit_take(struct vks_audit_ring *ring, uint32_t count);

#endif
