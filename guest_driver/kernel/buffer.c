// SPDX-License-Identifier: GPL-2.0-only
/* Allocation, wiping and copying of the buffers in buffer.h. */
#include <linux/minmax.h>
#include <linux/mm.h>
#include <linux/slab.h>
#include <linux/string.h>
#include <linux/uaccess.h>

#include "buffer.h"

/* A chunk costs a descriptor: large ones keep a 1 MiB request at some 33. Single pages are the
 * fallback. */
#define VKS_CHUNK_BYTES_MAX 32768u

/*
 * Billed to the caller's memory cgroup: a process may have many requests outstanding. Zeroed: what
 * the device does not write must not show to user space what the memory held before.
 */
#define VKS_BUFFER_GFP (GFP_KERNEL_ACCOUNT | __GFP_ZERO)

static void *vks_chunk_alloc(u32 *bytes)
{
	void *chunk;

	if (*bytes <= PAGE_SIZE)
		return kmalloc(*bytes, VKS_BUFFER_GFP);
	chunk = kmalloc(*bytes, VKS_BUFFER_GFP | __GFP_NORETRY | __GFP_NOWARN);
	if (chunk)
		return chunk;
	*bytes = PAGE_SIZE;
	return kmalloc(*bytes, VKS_BUFFER_GFP);
}

int vks_buffer_alloc(struct vks_buffer *buffer, u32 bytes)
{
	unsigned int count_max = DIV_ROUND_UP(bytes, PAGE_SIZE);
	u32 chunk_bytes = VKS_CHUNK_BYTES_MAX;
	u32 left = bytes;

	memset(buffer, 0, sizeof(*buffer));
	if (!bytes)
		return 0;
	buffer->sg = kvmalloc_array(count_max, sizeof(*buffer->sg), GFP_KERNEL_ACCOUNT);
	if (!buffer->sg)
		return -ENOMEM;
	sg_init_table(buffer->sg, count_max);
	buffer->bytes = bytes;
	while (left) {
		u32 size = min(left, chunk_bytes);
		u32 got = size;
		void *chunk = vks_chunk_alloc(&got);

		if (!chunk) {
			vks_buffer_free(buffer);
			return -ENOMEM;
		}
		if (got < size)
			chunk_bytes = got; /* fragmented memory: do not try large ones again */
		sg_set_buf(&buffer->sg[buffer->count++], chunk, got);
		left -= got;
	}
	sg_mark_end(&buffer->sg[buffer->count - 1]);
	return 0;
}

void vks_buffer_free(struct vks_buffer *buffer)
{
	unsigned int i;

	for (i = 0; i < buffer->count; i++)
		kfree_sensitive(sg_virt(&buffer->sg[i]));
	kvfree(buffer->sg);
	memset(buffer, 0, sizeof(*buffer));
}

void vks_cursor_init(struct vks_cursor *cursor, const struct vks_buffer *buffer)
{
	cursor->sg = buffer->sg;
	cursor->offset = 0;
}

/* The contiguous piece at the cursor, of at most *bytes bytes; steps over it. Callers stay within
 * the buffer. */
static void *vks_cursor_step(struct vks_cursor *cursor, u32 *bytes)
{
	void *at = sg_virt(cursor->sg) + cursor->offset;

	*bytes = min(*bytes, cursor->sg->length - cursor->offset);
	cursor->offset += *bytes;
	if (cursor->offset == cursor->sg->length) {
		cursor->sg++; /* never chained: one array */
		cursor->offset = 0;
	}
	return at;
}

void vks_cursor_put(struct vks_cursor *cursor, const void *from, u32 bytes)
{
	while (bytes) {
		u32 piece = bytes;
		void *at = vks_cursor_step(cursor, &piece);

		memcpy(at, from, piece);
		from += piece;
		bytes -= piece;
	}
}

int vks_cursor_copy_in(struct vks_cursor *cursor, const void __user *from, u32 bytes)
{
	while (bytes) {
		u32 piece = bytes;
		void *at = vks_cursor_step(cursor, &piece);

		if (copy_from_user(at, from, piece))
			return -EFAULT;
		from += piece;
		bytes -= piece;
	}
	return 0;
}

int vks_cursor_copy_out(struct vks_cursor *cursor, void __user *to, u32 bytes)
{
	while (bytes) {
		u32 piece = bytes;
		const void *at = vks_cursor_step(cursor, &piece);

		if (copy_to_user(to, at, piece))
			return -EFAULT;
		to += piece;
		bytes -= piece;
	}
	return 0;
}
