/* SPDX-License-Identifier: Apache-2.0 */
/* Rules that every program with secrets has, as elements of its list: what memory and libcrypto take. */
#ifndef VKS_SYSCALL_SETS_H
#define VKS_SYSCALL_SETS_H

#include <fcntl.h>
#include <sys/mman.h>

#include "syscall_filter.h"

/* Memory that is never executable. */
#define VKS_SYSCALLS_MEMORY                                                                                            \
    VKS_SYSCALL_WITHOUT(mmap, 2, PROT_EXEC), VKS_SYSCALL_WITHOUT(mprotect, 2, PROT_EXEC), VKS_SYSCALL(munmap),         \
        VKS_SYSCALL(mremap), VKS_SYSCALL(brk)

/* What keeps a mapping out of dumps, children and swap; the calls that wipe it. */
#define VKS_SYSCALLS_LOCKING                                                                                           \
    VKS_SYSCALL_IF(mlock2, 2, MLOCK_ONFAULT), VKS_SYSCALL_IF(madvise, 2, MADV_DONTDUMP),                               \
        VKS_SYSCALL_IF(madvise, 2, MADV_DONTFORK), VKS_SYSCALL_IF(madvise, 2, MADV_DONTNEED)

/* Making secret memory, of either kind. */
#define VKS_SYSCALLS_SECRET_PAGES                                                                                      \
    VKS_SYSCALL(memfd_secret), VKS_SYSCALL(memfd_create), VKS_SYSCALL(ftruncate),                                      \
        VKS_SYSCALL_IF(fcntl, 1, F_ADD_SEALS), VKS_SYSCALLS_LOCKING

/* libcrypto, and the clock where the vDSO has none. */
#define VKS_SYSCALLS_LIBCRYPTO                                                                                         \
    VKS_SYSCALL(getrandom), VKS_SYSCALL(getpid), VKS_SYSCALL(clock_gettime), VKS_SYSCALL(gettimeofday),                \
        VKS_SYSCALL(time)

#endif
