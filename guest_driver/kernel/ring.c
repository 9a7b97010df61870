// SPDX-License-Identifier: GPL-2.0-only
/*
 * Calls in and out of the virtqueue. Every call goes through the backlog, so that a full ring is a
 * place in a queue and not an error, and so that a suspended device picks up where it was. Knows
 * nothing of what a call says.
 */
#include <linux/sched.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>
#include <linux/virtio_ring.h>

#include "device.h"

void vks_call_put(struct vks_call *call)
{
	if (refcount_dec_and_test(&call->references))
		vks_call_free(call);
}

/* The queue's reference, lock held: wiping a megabyte is not for interrupt context. */
static void vks_ring_put_call(struct vks_device *device, struct vks_call *call)
{
	if (!refcount_dec_and_test(&call->references))
		return;
	list_add(&call->link, &device->orphans);
	schedule_work(&device->orphan_work);
}

static void vks_orphan_work(struct work_struct *work)
{
	struct vks_device *device = container_of(work, struct vks_device, orphan_work);
	struct vks_call *call, *next;
	LIST_HEAD(orphans);

	spin_lock_irq(&device->lock);
	list_splice_init(&device->orphans, &orphans);
	spin_unlock_irq(&device->lock);
	list_for_each_entry_safe (call, next, &orphans, link)
		vks_call_free(call);
}

/* Lock held. */
static void vks_call_finish(struct vks_call *call, int error)
{
	call->error = error;
	call->state = VKS_CALL_DONE;
	if (call->file)
		vks_file_finished(call->file, call);
	else
		complete(&call->done);
}

static int vks_ring_add(struct vks_device *device, struct vks_call *call)
{
	struct scatterlist *sgs[3];
	unsigned int in = 0;

	if (vks_call_descriptors(call) > device->descriptors_max)
		return -E2BIG;
	sgs[0] = call->readable.sg;
	if (call->output.count)
		sgs[1 + in++] = call->output.sg;
	sgs[1 + in++] = &call->tail_sg;
	return virtqueue_add_sgs(device->vq, sgs, 1, in, call, GFP_ATOMIC);
}

/* Lock held. Moves calls from the backlog to the ring while there is room; true if the device wants
 * to hear of it. */
static bool vks_ring_pump(struct vks_device *device)
{
	bool added = false;

	while (device->flows && !list_empty(&device->backlog)) {
		struct vks_call *call = list_first_entry(&device->backlog, struct vks_call, link);
		int error = vks_ring_add(device, call);

		if (!error) {
			call->state = VKS_CALL_RING;
			list_move_tail(&call->link, &device->ring);
			added = true;
			continue;
		}
		/* Room comes with the next completion; with nothing outstanding none will come. */
		if (error == -ENOSPC && !list_empty(&device->ring))
			break;
		list_del_init(&call->link);
		vks_call_finish(call, error == -ENOSPC ? -ENOMEM : error);
		vks_ring_put_call(device, call);
	}
	return added && virtqueue_kick_prepare(device->vq);
}

/* Lock held. Calls in the ring keep the queue's reference: the device may still write to them until
 * it is reset. */
static void vks_ring_fail_locked(struct vks_device *device, int error)
{
	struct vks_call *call, *next;

	device->error = error;
	list_for_each_entry_safe (call, next, &device->backlog, link) {
		list_del_init(&call->link);
		vks_call_finish(call, error);
		vks_ring_put_call(device, call);
	}
	list_for_each_entry_safe (call, next, &device->ring, link) {
		list_del_init(&call->link);
		vks_call_finish(call, error);
	}
	wake_up_all(&device->wait);
}

void vks_ring_fail(struct vks_device *device, int error)
{
	unsigned long flags;

	spin_lock_irqsave(&device->lock, flags);
	vks_ring_fail_locked(device, error);
	spin_unlock_irqrestore(&device->lock, flags);
}

/* Lock held. The device gave the buffers of @call back. */
static void vks_ring_take(struct vks_device *device, struct vks_call *call, u32 used_bytes)
{
	if (call->state == VKS_CALL_RING) {
		list_del_init(&call->link);
		call->used_bytes = used_bytes;
		vks_call_finish(call, 0);
	}
	vks_ring_put_call(device, call);
}

static void vks_ring_done(struct virtqueue *vq)
{
	struct vks_device *device = vq->vdev->priv;
	struct vks_call *call;
	unsigned long flags;
	bool broken = false;
	u32 used_bytes;

	spin_lock_irqsave(&device->lock, flags);
	if (device->vq == vq) {
		do {
			virtqueue_disable_cb(vq);
			while ((call = virtqueue_get_buf(vq, &used_bytes)))
				vks_ring_take(device, call, used_bytes);
			/* A used element that names no request of ours: the virtio core trusts the
			 * ring no more. */
			broken = virtqueue_is_broken(vq);
		} while (!broken && !virtqueue_enable_cb(vq));
		if (!broken && vks_ring_pump(device))
			broken = !virtqueue_notify(vq);
		if (broken)
			vks_ring_fail_locked(device, -EIO);
	}
	spin_unlock_irqrestore(&device->lock, flags);
}

/* Info, past the backlog: nothing else goes out before it was answered (MUST-22). */
int vks_ring_submit_first(struct vks_device *device, struct vks_call *call)
{
	bool notify = false;
	int error;

	down_read(&device->gate);
	spin_lock_irq(&device->lock);
	error = vks_ring_add(device, call);
	if (!error) {
		refcount_inc(&call->references);
		call->state = VKS_CALL_RING;
		list_add_tail(&call->link, &device->ring);
		notify = virtqueue_kick_prepare(device->vq);
	}
	spin_unlock_irq(&device->lock);
	if (notify && !virtqueue_notify(device->vq))
		vks_ring_fail(device, -EIO);
	up_read(&device->gate);
	return error;
}

void vks_ring_submit(struct vks_device *device, struct vks_call *call)
{
	bool notify = false;

	down_read(&device->gate);
	spin_lock_irq(&device->lock);
	if (device->error) {
		vks_call_finish(call, device->error);
	} else {
		refcount_inc(&call->references);
		call->state = VKS_CALL_BACKLOG;
		list_add_tail(&call->link, &device->backlog);
		notify = vks_ring_pump(device);
	}
	spin_unlock_irq(&device->lock);
	if (notify && !virtqueue_notify(device->vq))
		vks_ring_fail(device, -EIO);
	up_read(&device->gate);
}

/* The waiter gives up: takes the call back if the device never saw it, and drops the waiter's
 * reference. */
void vks_ring_abandon(struct vks_device *device, struct vks_call *call)
{
	spin_lock_irq(&device->lock);
	if (call->state == VKS_CALL_BACKLOG) {
		list_del_init(&call->link);
		call->state = VKS_CALL_DONE;
		refcount_dec(&call->references); /* the queue's; ours is left */
	}
	spin_unlock_irq(&device->lock);
	vks_call_put(call);
}

void vks_ring_init(struct vks_device *device)
{
	init_rwsem(&device->gate);
	spin_lock_init(&device->lock);
	INIT_LIST_HEAD(&device->backlog);
	INIT_LIST_HEAD(&device->ring);
	INIT_LIST_HEAD(&device->orphans);
	INIT_WORK(&device->orphan_work, vks_orphan_work);
	init_waitqueue_head(&device->wait);
}

/* Afterwards info may be sent; the backlog stays where it is until vks_ring_resume(). */
int vks_ring_start(struct vks_device *device)
{
	struct virtqueue *vq;

	vq = virtio_find_single_vq(device->vdev, vks_ring_done, "requests");
	if (IS_ERR(vq))
		return PTR_ERR(vq);
	device->descriptors_max = VKS_DESCRIPTORS_MAX;
	if (!virtio_has_feature(device->vdev, VIRTIO_RING_F_INDIRECT_DESC))
		device->descriptors_max =
			min_t(unsigned int, VKS_DESCRIPTORS_MAX, virtqueue_get_vring_size(vq));
	down_write(&device->gate);
	spin_lock_irq(&device->lock);
	device->vq = vq;
	spin_unlock_irq(&device->lock);
	up_write(&device->gate);
	virtio_device_ready(device->vdev);
	return 0;
}

/*
 * Lock held, device reset. Calls that somebody waits for go back to the head of the backlog with
 * the queue's reference; the others are dropped.
 */
static void vks_ring_rewind(struct vks_device *device)
{
	struct vks_call *call, *next;

	list_for_each_entry_safe (call, next, &device->ring, link) {
		call->state = VKS_CALL_BACKLOG;
		call->tail->status = VKS_STATUS_UNSET;
		if (refcount_read(&call->references) > 1)
			continue;
		list_del_init(&call->link);
		call->state = VKS_CALL_DONE;
		vks_ring_put_call(device, call);
	}
	list_splice_init(&device->ring, &device->backlog);
}

/* Also of a device that a resume left without its queue. */
void vks_ring_stop(struct vks_device *device)
{
	struct vks_call *call, *next;
	struct virtqueue *vq;
	u32 used_bytes;
	LIST_HEAD(failed);

	down_write(&device->gate);
	virtio_reset_device(device->vdev);
	spin_lock_irq(&device->lock);
	vq = device->vq;
	device->vq = NULL;
	device->flows = false;
	/* What was answered before the reset stays answered, rather than being done a second time.
	 */
	while (vq && (call = virtqueue_get_buf(vq, &used_bytes)))
		vks_ring_take(device, call, used_bytes);
	while (vq && (call = virtqueue_detach_unused_buf(vq))) {
		if (call->state == VKS_CALL_DONE)
			list_add(&call->link, &failed);
	}
	spin_unlock_irq(&device->lock);
	/* Some transports (virtio_uml) stop the device only here: nothing is freed or reused
	 * before. */
	if (vq)
		device->vdev->config->del_vqs(device->vdev);
	spin_lock_irq(&device->lock);
	list_for_each_entry_safe (call, next, &failed, link) {
		list_del_init(&call->link);
		vks_ring_put_call(device, call);
	}
	vks_ring_rewind(device);
	spin_unlock_irq(&device->lock);
	up_write(&device->gate);
	flush_work(&device->orphan_work);
}

void vks_ring_resume(struct vks_device *device)
{
	bool notify;

	down_read(&device->gate);
	spin_lock_irq(&device->lock);
	device->flows = true;
	notify = vks_ring_pump(device);
	spin_unlock_irq(&device->lock);
	if (notify && !virtqueue_notify(device->vq))
		vks_ring_fail(device, -EIO);
	up_read(&device->gate);
}
