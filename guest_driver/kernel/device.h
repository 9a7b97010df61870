/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * One vmm_keystore device: what its ring, its character device and its virtio driver share.
 *
 * Locking: lock (spinlock, interrupts off) guards the lists, every call's state and links, every
 * file's lists and counters, vq and error. gate (rwsem, outer) is held for reading by process
 * context that notifies the device, and for writing by whoever takes vq away: notifying happens
 * outside the spinlock because it may be an exit to the hypervisor. The virtqueue callback needs no
 * gate: a queue is deleted only after the transport has stopped calling.
 *
 * Life: one reference of the bound virtio device, one of each open file and of whoever got it by
 * vks_device_get(). After removal vq is NULL and error is -ENODEV for good; nothing of the virtio
 * device is touched any more.
 */
#ifndef VKS_DEVICE_H
#define VKS_DEVICE_H

#include <linux/kref.h>
#include <linux/miscdevice.h>
#include <linux/rwsem.h>
#include <linux/spinlock.h>
#include <linux/wait.h>
#include <linux/workqueue.h>

#include "call.h"

struct virtio_device;
struct virtqueue;

struct vks_device {
	struct kref references;
	struct list_head link; /* of the bound devices; device.c's mutex */
	struct virtio_device *vdev;
	struct rw_semaphore gate;
	spinlock_t lock;
	struct virtqueue *vq; /* NULL: suspended, or gone */
	bool flows;	      /* info was answered: the backlog goes to the ring */
	int error; /* what every call is answered from now on; 0 while the device works */
	struct list_head backlog; /* submitted, waiting for room in the ring, in order */
	struct list_head ring;	  /* the device has them, in order of submission */
	struct list_head orphans; /* nobody waits any more and the device is done: to be freed */
	struct work_struct orphan_work;
	wait_queue_head_t wait;	      /* pollers of all files: the device failed or went away */
	unsigned int descriptors_max; /* of one call */
	struct vks_info_request info; /* what this driver says of itself */
	struct miscdevice misc;
	int index;
	char name[24];
};

/* ring.c: calls in and out of the virtqueue */
void vks_ring_init(struct vks_device *device);
int __must_check vks_ring_start(struct vks_device *device);
int __must_check vks_ring_submit_first(struct vks_device *device, struct vks_call *call);
void vks_ring_resume(struct vks_device *device);
void vks_ring_stop(
	struct vks_device *device); /* resets; calls that the device had wait for the next resume */
void vks_ring_fail(struct vks_device *device, int error);
void vks_ring_submit(struct vks_device *device, struct vks_call *call);
void vks_ring_abandon(struct vks_device *device, struct vks_call *call);
void vks_call_put(struct vks_call *call); /* process context */

/* device.c */
struct vks_device *vks_device_get(unsigned int n); /* the n-th that is bound, or NULL */
void vks_device_put(struct vks_device *device);

/* request.c: requests of the kernel's own, in the name of the current process */
struct vks_call *__must_check vks_request_run(struct vks_device *device,
					      struct vks_request_head *head, const void *aad,
					      const void *input);

/* paes.c: the cipher xts(paes) */
#if IS_ENABLED(CONFIG_CRYPTO_SKCIPHER)
int __must_check vks_paes_register(void);
void vks_paes_unregister(void);
#else
static inline int vks_paes_register(void)
{
	return 0;
}

static inline void vks_paes_unregister(void)
{
}
#endif

/* file.c: the character device */
struct vks_file;
void vks_file_finished(struct vks_file *file, struct vks_call *call); /* vks_device.lock held */
int __must_check vks_chardev_register(struct vks_device *device);

#endif
