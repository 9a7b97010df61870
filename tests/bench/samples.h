/* SPDX-License-Identifier: Apache-2.0 */
/* Latencies of one run and the line that is printed about them. */
#ifndef VKS_BENCH_SAMPLES_H
#define VKS_BENCH_SAMPLES_H

#include <stdint.h>

enum { SAMPLES_MAX = 1 << 20 };

struct samples {
    uint64_t count; /* of operations, kept or not */
    uint32_t kept;
    uint32_t ns[SAMPLES_MAX];
};

/* CLOCK_MONOTONIC in nanoseconds. */
uint64_t now_ns(void);
/* Count *times* operations that took *ns* each; the first SAMPLES_MAX are kept. */
void samples_add(struct samples *samples, uint64_t ns, uint32_t times);
/* Print {"operations": …, "seconds": …, "p50_us": …, "p99_us": …} on one line. */
void samples_print(struct samples *samples, uint64_t elapsed_ns);

#endif
