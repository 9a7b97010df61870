/* SPDX-License-Identifier: Apache-2.0 */
/* The one assertion of the C tests: says what was expected where, and ends the test. */
#ifndef VKS_CHECK_H
#define VKS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK_EQUAL(name, got, want)                                                                                   \
    do {                                                                                                               \
        long long check_got = (long long)(got), check_want = (long long)(want);                                        \
                                                                                                                       \
        if (check_got != check_want) {                                                                                 \
            fprintf(stderr, "%s:%d: %s: %s is %lld, not %lld\n", __FILE__, __LINE__, name, #got, check_got,            \
                    check_want);                                                                                       \
            exit(1);                                                                                                   \
        }                                                                                                              \
    } while (0)

#define CHECK(name, condition) CHECK_EQUAL(name, !!(condition), 1)

#endif
