// SPDX-License-Identifier: GPL-2.0-only
/*
 * A request of the kernel's own: sent, waited for, its answer judged. It says who asks as a process
 * with an open file would. Knows nothing of what is asked for.
 */
#include <linux/cred.h>
#include <linux/err.h>
#include <linux/sched.h>

#include "device.h"

/*
 * The head has key, mechanism, operation and lengths; head and what follows it fit a page. The
 * answer is in user.status, user.result and output of the call, which the caller puts: that wipes
 * it. -EINTR: the process was killed.
 */
struct vks_call *vks_request_run(struct vks_device *device, struct vks_request_head *head,
				 const void *aad, const void *input)
{
	u32 aad_bytes = le32_to_cpu(head->aad_bytes);
	struct vks_call *call;
	void *readable;
	int error;

	head->opcode = cpu_to_le32(VKS_OPCODE(le32_to_cpu(head->opcode) & 0xff));
	head->flags = cpu_to_le32(VKS_REQUEST_F_UID);
	head->uid = cpu_to_le32(from_kuid(&init_user_ns, current_euid()));
	head->abi_version = cpu_to_le16(VKS_ABI_VERSION);
	call = vks_call_alloc(head);
	if (IS_ERR(call))
		return call;
	if (WARN_ON_ONCE(call->readable.bytes > PAGE_SIZE || call->output.bytes > PAGE_SIZE)) {
		vks_call_put(call);
		return ERR_PTR(-E2BIG);
	}
	readable = sg_virt(call->readable.sg);
	memcpy(readable + sizeof(*head), aad, aad_bytes);
	memcpy(readable + sizeof(*head) + aad_bytes, input, le32_to_cpu(head->input_bytes));
	vks_ring_submit(device, call);
	error = wait_for_completion_state(&call->done, TASK_KILLABLE | TASK_FREEZABLE);
	if (error) {
		vks_ring_abandon(device, call);
		return ERR_PTR(-EINTR);
	}
	error = vks_call_judge(call);
	if (error) {
		vks_call_put(call);
		return ERR_PTR(error);
	}
	return call;
}
