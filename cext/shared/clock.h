/* SPDX-License-Identifier: Apache-2.0 */
/* The two clocks, clock_gettime(2); both are read without a system call. */
#ifndef VKS_CLOCK_H
#define VKS_CLOCK_H

#include <stdint.h>
#include <time.h>

static inline uint64_t clock_ns(clockid_t clock)
{
    struct timespec now;

    clock_gettime(clock, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

/* What people call the time, since 1970: in records, for bounds of grants. It may be set. */
static inline uint64_t realtime_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

/* For waiting: never set. */
static inline uint64_t monotonic_ns(void)
{
    return clock_ns(CLOCK_MONOTONIC);
}

#endif
