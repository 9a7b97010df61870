/* SPDX-License-Identifier: Apache-2.0 */
/*
 * How long requests took, in state memory: a histogram for each key and operation that a guest has used.
 *
 * Measured by the worker from taking a head from the available ring until its used index is published, whatever the
 * answer; the writing of an answer up to 4 KiB left out. Counted after that: a worker that is killed in between leaves
 * that one request out, and nothing is ever counted twice.
 *
 * The worker gives a histogram to a key and an operation when they are used first, and takes it back when the guest
 * loses the key. Where there is no room left, a histogram of the operation alone takes the rest. keystored reads, and
 * believes nothing: a worker that has fallen writes here what it likes.
 */
#ifndef VKS_LATENCY_H
#define VKS_LATENCY_H

#include <stdint.h>

enum vks_latency_limit {
    VKS_LATENCY_BUCKETS = 20,   /* 1, 2, 5 in each decade from 1 us to 1 s, the bound itself included; then the rest */
    VKS_LATENCY_OPS_MAX = 16,   /* the first of enum vks_op; 0 stands for every other opcode, destroy among them */
    VKS_LATENCY_KEYS_MAX = 512, /* pairs of key and operation */
    VKS_LATENCY_MAX = 2 * VKS_LATENCY_OPS_MAX + VKS_LATENCY_KEYS_MAX,
};

enum vks_latency_kind {
    VKS_LATENCY_FREE = 0,
    VKS_LATENCY_KEY = 1,   /* of key_id */
    VKS_LATENCY_NONE = 2,  /* of requests without a key, or whose key is not the guest's */
    VKS_LATENCY_OTHER = 3, /* of keys for which there was no room */
};

struct vks_latency {
    uint8_t key_id[16];
    uint32_t op;
    uint32_t kind; /* enum vks_latency_kind; written last */
    uint64_t sum_ns;
    uint64_t bucket[20]; /* VKS_LATENCY_BUCKETS: requests of this bucket alone */
};

_Static_assert(sizeof(struct vks_latency) == 192, "latency layout");

/* Which bucket a time belongs to. */
uint32_t vks_latency_bucket(uint64_t time_ns);
/* The longest time of *bucket*, below VKS_LATENCY_BUCKETS; UINT64_MAX for the last one. */
uint64_t vks_latency_bound_ns(uint32_t bucket);
/* Worker: count a request; *key_id* is NULL where the guest has no such key. */
void vks_latency_count(void *state, const uint8_t *key_id, uint32_t op, uint64_t time_ns);
/* Worker: one of the VKS_LATENCY_KEYS_MAX histograms of keys, to be looked at, and to be given back. */
struct vks_latency *vks_latency_of_key(void *state, uint32_t index);
void vks_latency_free(struct vks_latency *latency);
/*
 * keystored: copy what has counted anything to *latencies*, which has room for VKS_LATENCY_MAX; the number copied.
 * *kind* is right in the copies, and so is *op* of those without a key; nothing else was checked.
 */
uint32_t vks_latency_read(void *state, struct vks_latency *latencies);

#endif
