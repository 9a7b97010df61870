/* SPDX-License-Identifier: Apache-2.0 */
/* Quantiles by sorting what was kept. */
#include "samples.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

uint64_t now_ns(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

void samples_add(struct samples *samples, uint64_t ns, uint32_t times)
{
    samples->count += times;
    for (uint32_t i = 0; i < times && samples->kept < SAMPLES_MAX; i++)
        samples->ns[samples->kept++] = ns > UINT32_MAX ? UINT32_MAX : (uint32_t)ns;
}

static int compare(const void *left, const void *right)
{
    uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;

    return (a > b) - (a < b);
}

void samples_print(struct samples *samples, uint64_t elapsed_ns)
{
    uint32_t kept = samples->kept;

    qsort(samples->ns, kept, sizeof(samples->ns[0]), compare);
    printf("{\"operations\": %llu, \"seconds\": %.6f, \"p50_us\": %.3f, \"p99_us\": %.3f}\n",
           (unsigned long long)samples->count, (double)elapsed_ns / 1e9, kept ? samples->ns[kept / 2] / 1e3 : 0.0,
           kept ? samples->ns[(uint64_t)kept * 99 / 100] / 1e3 : 0.0);
}
