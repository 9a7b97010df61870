/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Secret memory: mappings for key material, the best kind the kernel gives.
 *
 *   | guard page (PROT_NONE) | bytes, rounded up to pages | guard page (PROT_NONE) |
 *
 * memfd_secret(2) first: no longer in the kernel's direct map, so that not even root reads it through /proc/PID/mem;
 * its descriptor is closed once mapped. Where the kernel refuses, ordinary memory with mlock + MADV_DONTDUMP. A child
 * does not inherit either (MADV_DONTFORK). The length of every mapping counts against RLIMIT_MEMLOCK, touched or not,
 * unless the process has CAP_IPC_LOCK; pages cost memory only once touched.
 *
 * Traps: system calls may read and write here, but whatever pins pages (O_DIRECT, process_vm_readv, shared futexes,
 * and so pthread_join of a thread whose stack is here) fails with EFAULT.
 */
#ifndef VKS_SECRET_MAP_H
#define VKS_SECRET_MAP_H

#include <stddef.h>
#include <stdint.h>

#include "ipc.h"

struct vks_secret_map {
    uint8_t *bytes;
    size_t size_bytes; /* a multiple of the page size */
    enum vks_secret_memory memory;
};

/* Fresh, zeroed. 0 or a negative errno. */
__attribute__((warn_unused_result)) int vks_secret_map_create(struct vks_secret_map *map, size_t size_bytes);
/*
 * The same, and its descriptor to send to one process that maps it too. Close it right after sending: while it is open,
 * pidfd_getfd gives it to anybody with the rights of a debugger.
 */
__attribute__((warn_unused_result)) int vks_secret_map_create_fd(struct vks_secret_map *map, size_t size_bytes,
                                                                 int *fd);
/*
 * Map what another of our processes sent. -EPROTO unless fd is of exactly *size_bytes* and is memfd_secret or a sealed
 * memfd, which can no longer shrink under the reader. fd stays the caller's to close.
 */
__attribute__((warn_unused_result)) int vks_secret_map_open(struct vks_secret_map *map, int fd, size_t size_bytes,
                                                            enum vks_secret_memory memory);
/* Wipe and unmap; a map that is all zero is left alone. */
void vks_secret_map_wipe(struct vks_secret_map *map);
/* Unmap without wiping: the other side still needs the bytes. */
void vks_secret_map_close(struct vks_secret_map *map);

#endif
