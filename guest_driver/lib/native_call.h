/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A call: one request in shared memory on its way to the device and back. Encodes it, judges the answer, wipes both;
 * knows neither ring nor lock.
 *
 *     | head, parameter, associated data, input | output area, result, status |
 *       the device reads                           the device writes
 */
#ifndef VKS_NATIVE_CALL_H
#define VKS_NATIVE_CALL_H

#include <pthread.h>

#include "native_buffers.h"

struct native_connection;

struct native_call {
    struct native_connection *connection; /* a reference, from submission until the place is given back */
    struct native_call *next;             /* of whatever list it is in */
    struct native_place place;
    uint32_t readable_bytes;
    uint32_t output_bytes;
    uint32_t used_bytes; /* what the device says that it wrote */
    int error;           /* once it is done: 0 when the device gave the buffers back */
    bool is_done;
    bool is_asynchronous;
    pthread_cond_t wake; /* synchronous calls: it is done, or its thread is to reap */
    struct vks_ioc_request *request;
};

/* Of both parts; -E2BIG: more than the ABI allows. */
VKS_MUST_CHECK int native_call_measure(struct native_call *call, size_t *size_bytes);
/* Copies the request in. @base: of the shared memory; @features: what the ring negotiated, for info. */
void native_call_fill(const struct native_call *call, uint8_t *base, uint64_t features);
/*
 * Copies the answer out, into request and the caller's output area, and wipes. 0: the device answered; else the
 * negative errno, the same that the kernel's driver gives. Never reads beyond what the call gave to the device.
 */
VKS_MUST_CHECK int native_call_finish(const struct native_call *call, uint8_t *base);

#endif
