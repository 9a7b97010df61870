/* SPDX-License-Identifier: Apache-2.0 */
/* Whole reads and writes of descriptors that a program was started with. */
#ifndef VKS_STREAM_H
#define VKS_STREAM_H

#include <stddef.h>
#include <stdint.h>

/* Read to the end, or until *bytes* is full. 0 or a negative errno. */
__attribute__((warn_unused_result)) int vks_stream_read(int fd, void *bytes, size_t bytes_max, size_t *size_bytes);
/* Write all of it. 0 or a negative errno. */
__attribute__((warn_unused_result)) int vks_stream_write(int fd, const void *bytes, size_t size_bytes);
/* A descriptor's number in decimal. 0 or -EINVAL. */
__attribute__((warn_unused_result)) int vks_stream_parse_fd(const char *text, int *fd);

#endif
