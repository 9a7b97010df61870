/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The way to a device. What crosses it is the ABI's own struct vks_ioc_request; everything above is the same whatever
 * carries it. Functions return 0 or a negative errno.
 */
#ifndef VKS_TRANSPORT_H
#define VKS_TRANSPORT_H

#include "vks.h"

struct vks_transport {
    int (*submit)(void *context, struct vks_ioc_request *request);
    int (*submit_batch)(void *context, struct vks_ioc_request *requests, uint32_t count);
    int (*enqueue)(void *context, const struct vks_ioc_request *request);
    int (*reap)(void *context, struct vks_ioc_request *requests, uint32_t *count);
    int (*poll_fd)(const void *context);
    void (*close)(void *context);
};

/* Of a device's name: the prefix below and all that a socket's address has room for. */
#define VKS_PATH_BYTES    128
#define VKS_NATIVE_PREFIX "vhost-user:"

struct vks_device {
    const struct vks_transport *transport;
    void *context; /* the transport's own */
    char path[VKS_PATH_BYTES];
};

/* /dev/keystoreN */
VKS_MUST_CHECK int vks_kernel_open(const char *path, struct vks_device *device);
/* A guest's vhost-user socket, without the prefix. */
VKS_MUST_CHECK int vks_native_open(const char *path, struct vks_device *device);

#endif
