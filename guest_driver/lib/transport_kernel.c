/* SPDX-License-Identifier: BSD-3-Clause */
/* The ioctls of /dev/keystoreN. Knows the character device, nothing of what requests mean. */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "transport.h"

/* The descriptor is the whole context. */
static int kernel_fd(const void *context)
{
    return (int)(intptr_t)context;
}

static int kernel_ioctl(const void *context, unsigned long command, void *argument)
{
    return ioctl(kernel_fd(context), command, argument) < 0 ? -errno : 0;
}

static int kernel_submit(void *context, struct vks_ioc_request *request)
{
    return kernel_ioctl(context, VKS_IOC_SUBMIT, request);
}

static int kernel_submit_batch(void *context, struct vks_ioc_request *requests, uint32_t count)
{
    struct vks_ioc_batch batch = {.requests_ptr = (uintptr_t)requests, .count = count};

    return kernel_ioctl(context, VKS_IOC_SUBMIT_BATCH, &batch);
}

static int kernel_enqueue(void *context, const struct vks_ioc_request *request)
{
    struct vks_ioc_request copy = *request;

    return kernel_ioctl(context, VKS_IOC_ENQUEUE, &copy);
}

static int kernel_reap(void *context, struct vks_ioc_request *requests, uint32_t *count)
{
    struct vks_ioc_batch batch = {.requests_ptr = (uintptr_t)requests, .count = *count};
    int error = kernel_ioctl(context, VKS_IOC_REAP, &batch);

    *count = error ? 0 : batch.done;
    return error;
}

static void kernel_close(void *context)
{
    close(kernel_fd(context));
}

static const struct vks_transport kernel_transport = {
    .submit = kernel_submit,
    .submit_batch = kernel_submit_batch,
    .enqueue = kernel_enqueue,
    .reap = kernel_reap,
    .poll_fd = kernel_fd,
    .close = kernel_close,
};

int vks_kernel_open(const char *path, struct vks_device *device)
{
    int fd = open(path, O_RDWR | O_CLOEXEC);

    if (fd < 0)
        return -errno;
    device->transport = &kernel_transport;
    device->context = (void *)(intptr_t)fd;
    return 0;
}
