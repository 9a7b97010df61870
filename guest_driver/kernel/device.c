// SPDX-License-Identifier: GPL-2.0-only
/*
 * virtio_keystore: guest driver of the vmm_keystore device.
 *
 * Binds virtio devices of id 20, asks each who it is, and leaves alone those that are not a
 * vmm_keystore. What a request means is between user space and the device; the module carries it
 * and says who asks.
 */
#include <linux/err.h>
#include <linux/idr.h>
#include <linux/module.h>
#include <linux/mutex.h>
#include <linux/slab.h>
#include <linux/virtio.h>
#include <linux/virtio_config.h>

#include "device.h"

#define VKS_DRIVER_VERSION ((0 << 16) | (1 << 8) | 0)
/* A host that replaces a worker answers within this; a silent device must not hold up a boot for
 * longer. */
#define VKS_INFO_TIMEOUT_MS 10000

static DEFINE_IDA(vks_indices);
static LIST_HEAD(vks_devices); /* those with a node, in the order in which they came */
static DEFINE_MUTEX(vks_devices_mutex);

static void vks_device_release(struct kref *references)
{
	kfree(container_of(references, struct vks_device, references));
}

struct vks_device *vks_device_get(unsigned int n)
{
	struct vks_device *device, *found = NULL;

	mutex_lock(&vks_devices_mutex);
	list_for_each_entry (device, &vks_devices, link) {
		if (n-- == 0) {
			found = device;
			kref_get(&found->references); /* what is bound has one */
			break;
		}
	}
	mutex_unlock(&vks_devices_mutex);
	return found;
}

void vks_device_put(struct vks_device *device)
{
	kref_put(&device->references, vks_device_release);
}

static int vks_device_check_info(struct vks_device *device, struct vks_call *call)
{
	const struct vks_info *info;
	int error = vks_call_judge(call);

	if (error || call->user.status != VKS_STATUS_OK ||
	    le32_to_cpu(call->user.result.output_bytes) < sizeof(*info)) {
		dev_info(&device->vdev->dev,
			 "not a vmm_keystore this driver can use: status 0x%02x\n",
			 call->tail->status);
		return -ENODEV;
	}
	info = sg_virt(call->output.sg);
	if (le32_to_cpu(info->descriptors_max) < device->descriptors_max)
		device->descriptors_max = le32_to_cpu(info->descriptors_max);
	return 0;
}

/* First contact (MUST-22). A device that stays silent still owns the call: the caller resets it. */
static int vks_device_hello(struct vks_device *device)
{
	const struct vks_request_head head = {
		.opcode = cpu_to_le32(VKS_OPCODE(VKS_OP_INFO)),
		.input_bytes = cpu_to_le32(sizeof(device->info)),
		.output_bytes = cpu_to_le32(sizeof(struct vks_info)),
		.abi_version = cpu_to_le16(VKS_ABI_VERSION),
	};
	struct vks_call *call = vks_call_alloc(&head);
	int error;

	if (IS_ERR(call))
		return PTR_ERR(call);
	memcpy(sg_virt(call->readable.sg) + sizeof(head), &device->info, sizeof(device->info));
	error = vks_ring_submit_first(device, call);
	if (!error) {
		if (wait_for_completion_timeout(&call->done,
						msecs_to_jiffies(VKS_INFO_TIMEOUT_MS))) {
			error = vks_device_check_info(device, call);
		} else {
			dev_warn(&device->vdev->dev, "no answer to info within %u ms\n",
				 VKS_INFO_TIMEOUT_MS);
			error = -ETIMEDOUT;
		}
	}
	vks_call_put(call);
	return error;
}

static struct vks_device *vks_device_alloc(struct virtio_device *vdev)
{
	struct vks_device *device = kzalloc(sizeof(*device), GFP_KERNEL);

	if (!device)
		return ERR_PTR(-ENOMEM);
	device->index = ida_alloc(&vks_indices, GFP_KERNEL);
	if (device->index < 0) {
		int error = device->index;

		kfree(device);
		return ERR_PTR(error);
	}
	snprintf(device->name, sizeof(device->name), "keystore%d", device->index);
	kref_init(&device->references);
	device->vdev = vdev;
	device->info.abi_version_min = cpu_to_le16(VKS_ABI_VERSION_MIN);
	device->info.abi_version_max = cpu_to_le16(VKS_ABI_VERSION);
	device->info.driver_version = cpu_to_le32(VKS_DRIVER_VERSION);
	device->info.driver_features = cpu_to_le64(vdev->features);
	vks_ring_init(device);
	return device;
}

static int vks_probe(struct virtio_device *vdev)
{
	struct vks_device *device = vks_device_alloc(vdev);
	int index;
	int error;

	if (IS_ERR(device))
		return PTR_ERR(device);
	index = device->index;
	vdev->priv = device;
	error = vks_ring_start(device);
	if (error)
		goto free;
	error = vks_device_hello(device);
	if (error)
		goto stop;
	vks_ring_resume(device);
	error = vks_chardev_register(device);
	if (error)
		goto stop;
	mutex_lock(&vks_devices_mutex);
	list_add_tail(&device->link, &vks_devices);
	mutex_unlock(&vks_devices_mutex);
	dev_info(&vdev->dev, "vmm_keystore at /dev/%s\n", device->name);
	return 0;

stop:
	vks_ring_fail(device, -ENODEV);
	vks_ring_stop(device);
free:
	vdev->priv = NULL;
	vks_device_put(device);
	ida_free(&vks_indices, index);
	return error;
}

static void vks_remove(struct virtio_device *vdev)
{
	struct vks_device *device = vdev->priv;
	int index = device->index;

	mutex_lock(&vks_devices_mutex);
	list_del(&device->link);
	mutex_unlock(&vks_devices_mutex);
	misc_deregister(
		&device->misc); /* no new open files; those there are see -ENODEV from here on */
	vks_ring_fail(device, -ENODEV);
	vks_ring_stop(device);
	vks_device_put(device);
	ida_free(&vks_indices, index);
}

/* Only DEVICE_NEEDS_RESET is of interest: there will be no more answers. */
static void vks_config_changed(struct virtio_device *vdev)
{
	if (vdev->config->get_status(vdev) & VIRTIO_CONFIG_S_NEEDS_RESET) {
		dev_err(&vdev->dev, "the device gave up and needs a reset\n");
		vks_ring_fail(vdev->priv, -EIO);
	}
}

#ifdef CONFIG_PM_SLEEP
static int vks_freeze(struct virtio_device *vdev)
{
	vks_ring_stop(vdev->priv);
	return 0;
}

/* A device that cannot go on keeps its node: open files and new ones are told so. */
static int vks_restore(struct virtio_device *vdev)
{
	struct vks_device *device = vdev->priv;
	int error = vks_ring_start(device);

	if (!error)
		error = vks_device_hello(device);
	if (error) {
		vks_ring_fail(device, -EIO);
		return error;
	}
	vks_ring_resume(device);
	return 0;
}
#endif

static const struct virtio_device_id vks_id_table[] = {
	{VKS_VIRTIO_ID, VIRTIO_DEV_ANY_ID},
	{0},
};
MODULE_DEVICE_TABLE(virtio, vks_id_table);

/* No feature of the device class: the virtio core takes VERSION_1, INDIRECT_DESC and EVENT_IDX by
 * itself. */
static struct virtio_driver vks_driver = {
	.driver.name = KBUILD_MODNAME,
	.driver.owner = THIS_MODULE,
	.id_table = vks_id_table,
	.probe = vks_probe,
	.remove = vks_remove,
	.config_changed = vks_config_changed,
#ifdef CONFIG_PM_SLEEP
	.freeze = vks_freeze,
	.restore = vks_restore,
#endif
};

static int __init vks_init(void)
{
	int error = register_virtio_driver(&vks_driver);

	if (error)
		return error;
	error = vks_paes_register();
	if (error)
		unregister_virtio_driver(&vks_driver);
	return error;
}

static void __exit vks_exit(void)
{
	vks_paes_unregister();
	unregister_virtio_driver(&vks_driver);
}

module_init(vks_init);
module_exit(vks_exit);

MODULE_DESCRIPTION("vmm_keystore guest driver");
MODULE_LICENSE("GPL");
MODULE_VERSION("0.1.0");
