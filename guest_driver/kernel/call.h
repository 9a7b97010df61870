/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A call: one request on its way to the device and back. Owns the request's memory and judges the
 * answer; knows nothing of the virtqueue or of files.
 *
 * References: one of whoever waits (an ioctl, or an open file's lists), one of the queue from
 * submission until the device has given the buffers back or can no longer touch them. A waiter that
 * is killed drops its own only, so no buffer is freed while the device may still write to it
 * (MUST-33).
 */
#ifndef VKS_CALL_H
#define VKS_CALL_H

#include <linux/completion.h>
#include <linux/list.h>
#include <linux/refcount.h>

#include "buffer.h"
#include "vmm_keystore.h"

#define VKS_STATUS_UNSET 0xff /* what the status byte holds until the device writes it */

enum vks_call_state {
	VKS_CALL_NEW,
	VKS_CALL_BACKLOG, /* in vks_device.backlog */
	VKS_CALL_RING,	  /* in vks_device.ring; the device owns the buffers */
	VKS_CALL_DONE,	  /* answered or failed; in no list of the device */
};

/* What follows the output area: one small block, the last byte of which is the status. */
struct vks_tail {
	struct vks_result result;
	u8 status;
} __packed;

struct vks_file;

struct vks_call {
	refcount_t references;
	struct completion done;
	struct list_head link;	    /* of the device's lists; vks_device.lock */
	struct list_head file_link; /* of the file's lists; vks_device.lock */
	struct vks_file
		*file; /* asynchronous calls: who reaps; NULL once closed; vks_device.lock */
	enum vks_call_state state;   /* vks_device.lock */
	int error;		     /* set before done: 0 when the device gave the buffers back */
	u32 used_bytes;		     /* what the device says that it wrote */
	struct vks_ioc_request user; /* as the caller gave it; the answer is filled in */
	struct vks_buffer readable;  /* head, parameter, associated data, input */
	struct vks_buffer output;
	struct vks_tail *tail;
	struct scatterlist tail_sg;
};

struct vks_call *__must_check vks_call_alloc(const struct vks_request_head *head);
struct vks_call *__must_check vks_call_from_user(const struct vks_ioc_request __user *request,
						 u32 uid, const struct vks_info_request *info);
void vks_call_free(struct vks_call *call);
u32 vks_call_bytes(const struct vks_call *call);
unsigned int vks_call_descriptors(const struct vks_call *call);

/* 0 when the device answered: user.status and user.result are set; else a negative errno. */
int __must_check vks_call_judge(struct vks_call *call);
int __must_check vks_call_errno(const struct vks_call *call);
int __must_check vks_call_copy_output(struct vks_call *call);

#endif
