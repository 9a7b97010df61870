/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The ioctls of /dev/keystoreN. Knows the character device, nothing of what requests mean.
 *
 * A device that was unplugged answers -ENODEV for good. Who gets that is told; before the next request the node is
 * opened again under the same descriptor, where by then there is another device.
 */
#define _GNU_SOURCE /* dup3 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "transport.h"

struct kernel_context {
    int fd;
    char path[VKS_PATH_BYTES];
    pthread_mutex_t lock;    /* of what is below, and over each enqueue: none may fall between two devices */
    atomic_uint generation;  /* counts the devices there have been behind fd */
    atomic_bool gone;        /* the present one answered -ENODEV */
    atomic_uint outstanding; /* enqueued and not reaped: they can only be reaped from where they were sent */
};

/* Look for another device, if the one there was is gone; whoever still has requests to reap has to do so first. */
static void revive(struct kernel_context *kernel)
{
    int fresh;

    if (!atomic_load(&kernel->gone))
        return;
    pthread_mutex_lock(&kernel->lock);
    if (atomic_load(&kernel->gone) && atomic_load(&kernel->outstanding) == 0) {
        fresh = open(kernel->path, O_RDWR | O_CLOEXEC);
        if (fresh >= 0 && dup3(fresh, kernel->fd, O_CLOEXEC) >= 0) {
            atomic_fetch_add(&kernel->generation, 1);
            atomic_store(&kernel->gone, false);
        }
        if (fresh >= 0)
            close(fresh);
    }
    pthread_mutex_unlock(&kernel->lock);
}

/* An -ENODEV of the device that had *generation* says nothing of a later one. */
static void note(struct kernel_context *kernel, unsigned int generation, int error)
{
    if (error != -ENODEV)
        return;
    pthread_mutex_lock(&kernel->lock);
    if (atomic_load(&kernel->generation) == generation)
        atomic_store(&kernel->gone, true);
    pthread_mutex_unlock(&kernel->lock);
}

static int kernel_ioctl(struct kernel_context *kernel, unsigned long command, void *argument)
{
    return ioctl(kernel->fd, command, argument) < 0 ? -errno : 0;
}

static int kernel_submit(void *context, struct vks_ioc_request *request)
{
    struct kernel_context *kernel = context;
    unsigned int generation;
    int error;

    revive(kernel);
    generation = atomic_load(&kernel->generation);
    error = kernel_ioctl(kernel, VKS_IOC_SUBMIT, request);
    note(kernel, generation, error);
    return error;
}

static int kernel_submit_batch(void *context, struct vks_ioc_request *requests, uint32_t count)
{
    struct vks_ioc_batch batch = {.requests_ptr = (uintptr_t)requests, .count = count};
    struct kernel_context *kernel = context;
    unsigned int generation;
    int error;

    revive(kernel);
    generation = atomic_load(&kernel->generation);
    error = kernel_ioctl(kernel, VKS_IOC_SUBMIT_BATCH, &batch);
    note(kernel, generation, error);
    for (uint32_t i = 0; !error && i < count; i++)
        note(kernel, generation, requests[i].error);
    return error;
}

static int kernel_enqueue(void *context, const struct vks_ioc_request *request)
{
    struct kernel_context *kernel = context;
    struct vks_ioc_request copy = *request;
    unsigned int generation;
    int error;

    revive(kernel);
    pthread_mutex_lock(&kernel->lock);
    generation = atomic_load(&kernel->generation);
    error = kernel_ioctl(kernel, VKS_IOC_ENQUEUE, &copy);
    if (!error)
        atomic_fetch_add(&kernel->outstanding, 1);
    pthread_mutex_unlock(&kernel->lock);
    note(kernel, generation, error);
    return error;
}

static int kernel_reap(void *context, struct vks_ioc_request *requests, uint32_t *count)
{
    struct vks_ioc_batch batch = {.requests_ptr = (uintptr_t)requests, .count = *count};
    struct kernel_context *kernel = context;
    unsigned int generation = atomic_load(&kernel->generation);
    int error = kernel_ioctl(kernel, VKS_IOC_REAP, &batch);

    *count = error ? 0 : batch.done;
    note(kernel, generation, error);
    for (uint32_t i = 0; i < *count; i++)
        note(kernel, generation, requests[i].error);
    atomic_fetch_sub(&kernel->outstanding, *count);
    return error;
}

static int kernel_poll_fd(const void *context)
{
    return ((const struct kernel_context *)context)->fd;
}

static void kernel_close(void *context)
{
    struct kernel_context *kernel = context;

    close(kernel->fd);
    pthread_mutex_destroy(&kernel->lock);
    free(kernel);
}

static const struct vks_transport kernel_transport = {
    .submit = kernel_submit,
    .submit_batch = kernel_submit_batch,
    .enqueue = kernel_enqueue,
    .reap = kernel_reap,
    .poll_fd = kernel_poll_fd,
    .close = kernel_close,
};

int vks_kernel_open(const char *path, struct vks_device *device)
{
    struct kernel_context *kernel = calloc(1, sizeof(*kernel));
    int error = 0;

    if (!kernel)
        return -ENOMEM;
    if (strlen(path) >= sizeof(kernel->path))
        error = -ENAMETOOLONG;
    if (!error && (kernel->fd = open(path, O_RDWR | O_CLOEXEC)) < 0)
        error = -errno;
    if (!error)
        error = -pthread_mutex_init(&kernel->lock, NULL);
    if (error) {
        if (kernel->fd > 0)
            close(kernel->fd);
        free(kernel);
        return error;
    }
    memcpy(kernel->path, path, strlen(path) + 1);
    device->transport = &kernel_transport;
    device->context = kernel;
    return 0;
}
