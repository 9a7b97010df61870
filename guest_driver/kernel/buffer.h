/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Buffers that the device reads or writes: zeroed kernel memory in a few physically contiguous
 * chunks, described by a scatterlist, wiped when freed. Knows nothing of requests.
 */
#ifndef VKS_BUFFER_H
#define VKS_BUFFER_H

#include <linux/scatterlist.h>
#include <linux/types.h>

struct vks_buffer {
	struct scatterlist *sg; /* @count entries; NULL when @bytes is 0 */
	unsigned int count;
	u32 bytes;
};

/* A place in a buffer, moved along by each copy. The first PAGE_SIZE bytes of a buffer are
 * contiguous. */
struct vks_cursor {
	struct scatterlist *sg;
	u32 offset;
};

int __must_check vks_buffer_alloc(struct vks_buffer *buffer, u32 bytes);
void vks_buffer_free(
	struct vks_buffer *buffer); /* process context: a megabyte to wipe takes its time */

void vks_cursor_init(struct vks_cursor *cursor, const struct vks_buffer *buffer);
void vks_cursor_put(struct vks_cursor *cursor, const void *from, u32 bytes);
int __must_check vks_cursor_copy_in(struct vks_cursor *cursor, const void __user *from, u32 bytes);
int __must_check vks_cursor_copy_out(struct vks_cursor *cursor, void __user *to, u32 bytes);

#endif
