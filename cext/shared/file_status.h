/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fstat(2) by its own system call. glibc makes it newfstatat with an empty path, and a filter that lets that pass lets
 * any path pass.
 */
#ifndef VKS_FILE_STATUS_H
#define VKS_FILE_STATUS_H

#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

/* 0, or -1 and errno. */
__attribute__((warn_unused_result)) static inline int vks_file_status(int fd, struct stat *status)
{
    return (int)syscall(SYS_fstat, fd, status);
}

#endif
