// SPDX-License-Identifier: GPL-2.0-only
/*
 * /dev/keystoreN: the ioctls of vmm_keystore.h.
 *
 * An answer is waited for killably, not interruptibly: a request the device has cannot be taken
 * back, and a signal handler must not cost a signature that was made and is on record. Whoever
 * wants to be interruptible uses ENQUEUE.
 */
#include <linux/cred.h>
#include <linux/fs.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/poll.h>
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/uaccess.h>
#include <linux/virtio.h>

#include "device.h"

/* Kernel memory of one batch, or of one file's asynchronous calls, beyond which no further call is
 * begun. */
#define VKS_FILE_BYTES_MAX (16 * 1024 * 1024)

struct vks_file {
	struct vks_device *device;
	u32 uid;
	wait_queue_head_t wait;
	struct mutex reap_mutex;  /* one reaper at a time: an answer leaves the list after it was
				     copied */
	struct list_head pending; /* vks_device.lock, like all below */
	struct list_head finished;
	u32 call_count; /* of both lists */
	u32 call_bytes;
};

void vks_file_finished(struct vks_file *file, struct vks_call *call)
{
	list_move_tail(&call->file_link, &file->finished);
	wake_up_poll(&file->wait, EPOLLIN | EPOLLRDNORM);
}

static int vks_file_open(struct inode *inode, struct file *filp)
{
	struct vks_device *device = container_of(filp->private_data, struct vks_device, misc);
	struct vks_file *file = kzalloc(sizeof(*file), GFP_KERNEL_ACCOUNT);

	if (!file)
		return -ENOMEM;
	file->device = device;
	file->uid = from_kuid(&init_user_ns, filp->f_cred->euid);
	init_waitqueue_head(&file->wait);
	mutex_init(&file->reap_mutex);
	INIT_LIST_HEAD(&file->pending);
	INIT_LIST_HEAD(&file->finished);
	/* Under misc_mtx, which misc_deregister() takes: the device is still bound. */
	kref_get(&device->references);
	filp->private_data = file;
	return nonseekable_open(inode, filp);
}

static int vks_file_release(struct inode *inode, struct file *filp)
{
	struct vks_file *file = filp->private_data;
	struct vks_device *device = file->device;
	struct vks_call *call, *next;
	LIST_HEAD(calls);

	spin_lock_irq(&device->lock);
	list_splice_init(&file->finished, &calls);
	list_splice_init(&file->pending, &calls);
	list_for_each_entry (call, &calls, file_link)
		call->file = NULL;
	spin_unlock_irq(&device->lock);
	list_for_each_entry_safe (call, next, &calls, file_link)
		vks_ring_abandon(device, call);
	vks_device_put(device);
	kfree(file);
	return 0;
}

/* Result, status and error; the head and the pointers stay as the caller wrote them. */
static int vks_answer_put(struct vks_ioc_request __user *to, const struct vks_ioc_request *from)
{
	const size_t begin = offsetof(struct vks_ioc_request, result);

	return copy_to_user((u8 __user *)to + begin, (const u8 *)from + begin,
			    sizeof(*from) - begin)
		       ? -EFAULT
		       : 0;
}

/* Waits for a submitted call, copies its output and drops the caller's reference. 0: call->user
 * holds an answer. */
static int vks_file_collect(struct vks_device *device, struct vks_call *call,
			    struct vks_ioc_request __user *to)
{
	int error = wait_for_completion_state(&call->done, TASK_KILLABLE | TASK_FREEZABLE);

	if (error) {
		vks_ring_abandon(device, call);
		return -EINTR;
	}
	error = vks_call_judge(call);
	if (!error)
		error = vks_call_copy_output(call);
	if (!error)
		error = vks_answer_put(to, &call->user);
	vks_call_put(call);
	return error;
}

static long vks_file_submit(struct vks_file *file, struct vks_ioc_request __user *request)
{
	struct vks_call *call = vks_call_from_user(request, file->uid, &file->device->info);

	if (IS_ERR(call))
		return PTR_ERR(call);
	vks_ring_submit(file->device, call);
	return vks_file_collect(file->device, call, request);
}

/* The answer of one request of a batch; true if there is one. */
static bool vks_batch_collect(struct vks_file *file, struct vks_call *call,
			      struct vks_ioc_request __user *to)
{
	int error = IS_ERR(call) ? PTR_ERR(call) : vks_file_collect(file->device, call, to);

	if (!error)
		return true;
	/* A caller whose array cannot be written to learns of it by the count. */
	put_user(error, &to->error);
	return false;
}

static u32 vks_batch_run(struct vks_file *file, struct vks_call **calls,
			 struct vks_ioc_request __user *requests, u32 count)
{
	u32 begun, collected = 0, done = 0, bytes = 0;

	for (begun = 0; begun < count; begun++) {
		while (bytes > VKS_FILE_BYTES_MAX && collected < begun) {
			if (!IS_ERR(calls[collected]))
				bytes -= vks_call_bytes(calls[collected]);
			done += vks_batch_collect(file, calls[collected], &requests[collected]);
			collected++;
		}
		calls[begun] = vks_call_from_user(&requests[begun], file->uid, &file->device->info);
		if (IS_ERR(calls[begun]))
			continue;
		bytes += vks_call_bytes(calls[begun]);
		vks_ring_submit(file->device, calls[begun]);
	}
	for (; collected < count; collected++)
		done += vks_batch_collect(file, calls[collected], &requests[collected]);
	return done;
}

static long vks_file_submit_batch(struct vks_file *file, struct vks_ioc_batch __user *to)
{
	struct vks_ioc_batch batch;
	struct vks_call **calls;
	u32 done;

	if (copy_from_user(&batch, to, sizeof(batch)))
		return -EFAULT;
	if (!batch.count || batch.count > VKS_IOC_BATCH_MAX)
		return -EINVAL;
	calls = kmalloc_array(batch.count, sizeof(*calls), GFP_KERNEL_ACCOUNT);
	if (!calls)
		return -ENOMEM;
	done = vks_batch_run(file, calls, u64_to_user_ptr(batch.requests_ptr), batch.count);
	kfree(calls);
	return put_user(done, &to->done);
}

/* Lock held. The same condition as poll's EPOLLOUT, or a caller would spin between the two. */
static bool vks_file_has_room(const struct vks_file *file)
{
	return file->call_count < VKS_IOC_PENDING_MAX && file->call_bytes < VKS_FILE_BYTES_MAX;
}

static long vks_file_enqueue(struct vks_file *file, struct vks_ioc_request __user *request)
{
	struct vks_device *device = file->device;
	struct vks_call *call;
	bool room;

	call = vks_call_from_user(request, file->uid, &device->info);
	if (IS_ERR(call))
		return PTR_ERR(call);
	spin_lock_irq(&device->lock);
	room = vks_file_has_room(file);
	if (room) {
		call->file = file;
		refcount_inc(&call->references); /* the file's; a reaper may be done with it before
						    submit returns */
		list_add_tail(&call->file_link, &file->pending);
		file->call_count++;
		file->call_bytes += vks_call_bytes(call);
	}
	spin_unlock_irq(&device->lock);
	if (room)
		vks_ring_submit(device, call);
	vks_call_put(call);
	return room ? 0 : -EAGAIN;
}

/* reap_mutex held. 1: one answer handed out; 0: none is ready. */
static int vks_file_reap_one(struct vks_file *file, struct vks_ioc_request __user *to)
{
	struct vks_device *device = file->device;
	struct vks_call *call;
	int error;

	spin_lock_irq(&device->lock);
	call = list_first_entry_or_null(&file->finished, struct vks_call, file_link);
	spin_unlock_irq(&device->lock);
	if (!call)
		return 0;
	error = vks_call_judge(call);
	if (!error)
		error = vks_call_copy_output(call);
	call->user.error = error;
	if (copy_to_user(to, &call->user, sizeof(call->user)))
		return -EFAULT;
	spin_lock_irq(&device->lock);
	list_del_init(&call->file_link);
	file->call_count--;
	file->call_bytes -= vks_call_bytes(call);
	spin_unlock_irq(&device->lock);
	wake_up_poll(&file->wait, EPOLLOUT | EPOLLWRNORM);
	vks_call_put(call);
	return 1;
}

/* Outputs go to the addresses given with ENQUEUE, as the process that reaps sees them. */
static long vks_file_reap(struct vks_file *file, struct vks_ioc_batch __user *to)
{
	struct vks_ioc_request __user *requests;
	struct vks_ioc_batch batch;
	int taken = 1;
	u32 done = 0;

	if (copy_from_user(&batch, to, sizeof(batch)))
		return -EFAULT;
	if (!batch.count || batch.count > VKS_IOC_BATCH_MAX)
		return -EINVAL;
	requests = u64_to_user_ptr(batch.requests_ptr);
	if (mutex_lock_killable(&file->reap_mutex))
		return -EINTR;
	while (done < batch.count && taken > 0) {
		taken = vks_file_reap_one(file, &requests[done]);
		if (taken > 0)
			done++;
	}
	mutex_unlock(&file->reap_mutex);
	if (taken < 0 && !done)
		return taken;
	return put_user(done, &to->done);
}

static long vks_file_ioctl(struct file *filp, unsigned int command, unsigned long argument)
{
	struct vks_file *file = filp->private_data;
	void __user *user = (void __user *)argument;

	switch (command) {
	case VKS_IOC_SUBMIT:
		return vks_file_submit(file, user);
	case VKS_IOC_SUBMIT_BATCH:
		return vks_file_submit_batch(file, user);
	case VKS_IOC_ENQUEUE:
		return vks_file_enqueue(file, user);
	case VKS_IOC_REAP:
		return vks_file_reap(file, user);
	default:
		return -ENOTTY;
	}
}

static __poll_t vks_file_poll(struct file *filp, poll_table *table)
{
	struct vks_file *file = filp->private_data;
	struct vks_device *device = file->device;
	__poll_t mask = 0;

	poll_wait(filp, &file->wait, table);
	poll_wait(filp, &device->wait, table);
	spin_lock_irq(&device->lock);
	if (!list_empty(&file->finished))
		mask |= EPOLLIN | EPOLLRDNORM;
	if (vks_file_has_room(file))
		mask |= EPOLLOUT | EPOLLWRNORM;
	if (device->error)
		mask |= EPOLLERR | EPOLLHUP;
	spin_unlock_irq(&device->lock);
	return mask;
}

static const struct file_operations vks_file_operations = {
	.owner = THIS_MODULE,
	.open = vks_file_open,
	.release = vks_file_release,
	.unlocked_ioctl = vks_file_ioctl,
	.compat_ioctl = compat_ptr_ioctl,
	.poll = vks_file_poll,
};

int vks_chardev_register(struct vks_device *device)
{
	device->misc.minor = MISC_DYNAMIC_MINOR;
	device->misc.name = device->name;
	device->misc.fops = &vks_file_operations;
	device->misc.parent = &device->vdev->dev;
	device->misc.mode = 0660; /* the udev rule gives it to the group keystore */
	return misc_register(&device->misc);
}
