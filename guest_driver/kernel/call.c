// SPDX-License-Identifier: GPL-2.0-only
/* Making of a request, and the checks on what a device answered. */
#include <linux/err.h>
#include <linux/slab.h>
#include <linux/uaccess.h>

#include "call.h"

static int vks_head_check(const struct vks_request_head *head)
{
	if (le32_to_cpu(head->parameter_bytes) > VKS_PARAMETER_BYTES_MAX ||
	    le32_to_cpu(head->aad_bytes) > VKS_AAD_BYTES_MAX ||
	    le32_to_cpu(head->input_bytes) > VKS_INPUT_BYTES_MAX ||
	    le32_to_cpu(head->output_bytes) > VKS_OUTPUT_BYTES_MAX)
		return -E2BIG;
	return 0;
}

/* A call with room for what @head announces; the readable buffer begins with @head, the rest is
 * zero. */
struct vks_call *vks_call_alloc(const struct vks_request_head *head)
{
	struct vks_cursor cursor;
	struct vks_call *call;
	int error = vks_head_check(head);

	BUILD_BUG_ON(sizeof(*head) != VKS_HEAD_BYTES);
	BUILD_BUG_ON(sizeof(struct vks_tail) != VKS_RESULT_BYTES + 1);
	if (error)
		return ERR_PTR(error);
	call = kzalloc(sizeof(*call), GFP_KERNEL_ACCOUNT);
	if (!call)
		return ERR_PTR(-ENOMEM);
	refcount_set(&call->references, 1);
	init_completion(&call->done);
	INIT_LIST_HEAD(&call->link);
	INIT_LIST_HEAD(&call->file_link);
	/* A block of its own: the device writes to it, nothing else shares its cache line. */
	call->tail = kzalloc(sizeof(*call->tail), GFP_KERNEL_ACCOUNT);
	error = call->tail ? 0 : -ENOMEM;
	if (!error)
		error = vks_buffer_alloc(&call->readable,
					 VKS_HEAD_BYTES + le32_to_cpu(head->parameter_bytes) +
						 le32_to_cpu(head->aad_bytes) +
						 le32_to_cpu(head->input_bytes));
	if (!error)
		error = vks_buffer_alloc(&call->output, le32_to_cpu(head->output_bytes));
	if (error) {
		vks_call_free(call);
		return ERR_PTR(error);
	}
	call->tail->status = VKS_STATUS_UNSET;
	sg_init_one(&call->tail_sg, call->tail, sizeof(*call->tail));
	vks_cursor_init(&cursor, &call->readable);
	vks_cursor_put(&cursor, head, sizeof(*head));
	return call;
}

void vks_call_free(struct vks_call *call)
{
	vks_buffer_free(&call->readable);
	vks_buffer_free(&call->output);
	kfree(call->tail);
	kfree(call);
}

/* What the driver alone decides (MUST-32). */
static void vks_head_stamp(struct vks_request_head *head, u32 uid)
{
	head->opcode = cpu_to_le32(VKS_OPCODE(le32_to_cpu(head->opcode) & 0xff));
	head->cookie = 0;
	head->flags |= cpu_to_le32(VKS_REQUEST_F_UID);
	head->uid = cpu_to_le32(uid);
	head->reserved0 = 0;
	head->reserved1 = 0;
}

static int vks_call_copy_input(struct vks_call *call, const struct vks_request_head *head)
{
	const struct vks_ioc_request *user = &call->user;
	struct vks_cursor cursor;
	int error;

	vks_cursor_init(&cursor, &call->readable);
	vks_cursor_put(&cursor, head, sizeof(*head));
	error = vks_cursor_copy_in(&cursor, u64_to_user_ptr(user->parameter_ptr),
				   le32_to_cpu(head->parameter_bytes));
	if (!error)
		error = vks_cursor_copy_in(&cursor, u64_to_user_ptr(user->aad_ptr),
					   le32_to_cpu(head->aad_bytes));
	if (!error)
		error = vks_cursor_copy_in(&cursor, u64_to_user_ptr(user->input_ptr),
					   le32_to_cpu(head->input_bytes));
	return error;
}

/*
 * The features in info switch the device's notifications: a caller's info goes out with the
 * driver's own, or one process could stop the interrupts of all others.
 */
static void vks_info_stamp(struct vks_call *call, const struct vks_request_head *head,
			   const struct vks_info_request *own)
{
	struct vks_info_request *input = sg_virt(call->readable.sg) + VKS_HEAD_BYTES;

	if (le32_to_cpu(head->opcode) != VKS_OPCODE(VKS_OP_INFO) ||
	    call->readable.bytes != VKS_HEAD_BYTES + sizeof(*input) ||
	    le32_to_cpu(head->input_bytes) != sizeof(*input))
		return;
	input->driver_version = own->driver_version;
	input->driver_features = own->driver_features;
}

struct vks_call *vks_call_from_user(const struct vks_ioc_request __user *request, u32 uid,
				    const struct vks_info_request *info)
{
	struct vks_ioc_request user;
	struct vks_request_head head;
	struct vks_call *call;
	int error;

	if (copy_from_user(&user, request, sizeof(user)))
		return ERR_PTR(-EFAULT);
	head = user.head;
	vks_head_stamp(&head, uid);
	call = vks_call_alloc(&head);
	if (IS_ERR(call))
		return call;
	call->user = user;
	memset(&call->user.result, 0, sizeof(call->user.result));
	call->user.status = 0;
	call->user.error = 0;
	error = vks_call_copy_input(call, &head);
	if (error) {
		vks_call_free(call);
		return ERR_PTR(error);
	}
	vks_info_stamp(call, &head, info);
	return call;
}

u32 vks_call_bytes(const struct vks_call *call)
{
	return call->readable.bytes + call->output.bytes;
}

unsigned int vks_call_descriptors(const struct vks_call *call)
{
	return call->readable.count + call->output.count + 1;
}

/* 0 for the answers of this ABI, which user space reads itself. */
static int vks_status_error(u8 status)
{
	switch (status) {
	case VKS_STATUS_OK:
	case VKS_STATUS_MALFORMED:
	case VKS_STATUS_VERSION:
	case VKS_STATUS_UNSUPPORTED:
	case VKS_STATUS_NO_KEY:
	case VKS_STATUS_DENIED:
	case VKS_STATUS_KEY_STATE:
	case VKS_STATUS_LIMIT:
	case VKS_STATUS_AUTH_FAILED:
	case VKS_STATUS_INPUT_SIZE:
	case VKS_STATUS_OUTPUT_SIZE:
	case VKS_STATUS_INTERNAL:
	case VKS_STATUS_UNAVAILABLE:
	case VKS_STATUS_EXISTS:
		return 0;
	case VKS_STATUS_FOREIGN_NOTSUPP:
		return -EOPNOTSUPP;
	default: /* the rest of virtio-crypto's own, or a byte the device never wrote */
		return -EPROTO;
	}
}

/* Where the kernel itself asked: call after vks_call_judge() gave 0. */
int vks_call_errno(const struct vks_call *call)
{
	switch (call->user.status) {
	case VKS_STATUS_OK:
		return 0;
	case VKS_STATUS_NO_KEY:
		return -ENOKEY;
	case VKS_STATUS_DENIED:
	case VKS_STATUS_LIMIT:
		return -EACCES;
	case VKS_STATUS_KEY_STATE:
		return -EKEYREVOKED;
	case VKS_STATUS_AUTH_FAILED:
		return -EKEYREJECTED;
	case VKS_STATUS_UNAVAILABLE:
		return -EAGAIN;
	case VKS_STATUS_UNSUPPORTED:
		return -EOPNOTSUPP;
	default: /* our own request was wrong, or the device is */
		return -EPROTO;
	}
}

/*
 * Status first; no length of the device's is used before it was held against the buffers that we
 * gave, on a copy that the device does not reach (MUST-15).
 */
int vks_call_judge(struct vks_call *call)
{
	struct vks_result result;
	u8 status;
	int error = call->error;

	if (error)
		return error;
	status = READ_ONCE(call->tail->status);
	error = vks_status_error(status);
	if (error)
		return error;
	if (call->used_bytes != call->output.bytes + sizeof(*call->tail))
		return -EPROTO;
	memcpy(&result, &call->tail->result, sizeof(result));
	barrier(); /* a compiler could read it again instead of the copy */
	if (status == VKS_STATUS_OK && le32_to_cpu(result.output_bytes) > call->output.bytes)
		return -EPROTO;
	call->user.result = result;
	call->user.status = status;
	return 0;
}

/* Call after vks_call_judge() gave 0. */
int vks_call_copy_output(struct vks_call *call)
{
	struct vks_cursor cursor;

	if (call->user.status != VKS_STATUS_OK)
		return 0;
	vks_cursor_init(&cursor, &call->output);
	return vks_cursor_copy_out(&cursor, u64_to_user_ptr(call->user.output_ptr),
				   le32_to_cpu(call->user.result.output_bytes));
}
