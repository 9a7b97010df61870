/* SPDX-License-Identifier: BSD-3-Clause */
/* Encoding of requests, decoding of answers, and the four ways to send. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "request.h"

int vks_request_encode(const struct vks_request *request, struct vks_ioc_request *encoded)
{
    struct vks_request_head *head = &encoded->head;

    memset(encoded, 0, sizeof(*encoded));
    /* In size_t, before they are cut to 32 bits. */
    if (request->parameter.size > VKS_PARAMETER_BYTES_MAX || request->aad.size > VKS_AAD_BYTES_MAX ||
        request->input.size > VKS_INPUT_BYTES_MAX)
        return -E2BIG;
    head->opcode = htole32(VKS_OPCODE(request->op & 0xff));
    head->mechanism = htole32(request->use.mechanism);
    head->flags = htole32(request->use.is_digest ? VKS_REQUEST_F_DIGEST : 0);
    memcpy(head->key_id, request->use.key_id, sizeof(head->key_id));
    head->key_version = htole32(request->use.key_version);
    head->parameter_bytes = htole32((uint32_t)request->parameter.size);
    head->aad_bytes = htole32((uint32_t)request->aad.size);
    head->input_bytes = htole32((uint32_t)request->input.size);
    /* More room than any answer needs is no error: the device is offered what it may take. */
    head->output_bytes =
        htole32((uint32_t)(request->output_size < VKS_OUTPUT_BYTES_MAX ? request->output_size : VKS_OUTPUT_BYTES_MAX));
    head->abi_version = htole16(VKS_ABI_VERSION);
    encoded->parameter_ptr = (uintptr_t)request->parameter.data;
    encoded->aad_ptr = (uintptr_t)request->aad.data;
    encoded->input_ptr = (uintptr_t)request->input.data;
    encoded->output_ptr = (uintptr_t)request->output;
    encoded->user_data = (uintptr_t)request;
    return 0;
}

void vks_request_decode(const struct vks_ioc_request *encoded, int error, struct vks_request *request)
{
    uint32_t output_bytes = le32toh(encoded->result.output_bytes);

    request->error = error;
    request->output_written = 0;
    request->key_version = 0;
    request->sequence = 0;
    if (error)
        return;
    request->error = (int)encoded->status;
    request->key_version = le32toh(encoded->result.key_version);
    request->sequence = le64toh(encoded->result.sequence);
    if (encoded->status == VKS_STATUS_OK && output_bytes > request->output_size)
        request->error = -EPROTO;
    else if (encoded->status == VKS_STATUS_OK || encoded->status == VKS_STATUS_OUTPUT_SIZE)
        request->output_written = output_bytes;
}

int vks_submit(struct vks_device *device, struct vks_request *request)
{
    struct vks_ioc_request encoded;
    int error = vks_request_encode(request, &encoded);

    if (!error)
        error = device->transport->submit(device->context, &encoded);
    vks_request_decode(&encoded, error, request);
    return request->error;
}

int vks_submit_batch(struct vks_device *device, struct vks_request *requests, size_t count)
{
    struct vks_ioc_request *encoded;
    int error = 0;

    if (!count || count > VKS_IOC_BATCH_MAX)
        return -EINVAL;
    encoded = calloc(count, sizeof(*encoded));
    if (!encoded)
        return -ENOMEM;
    for (size_t i = 0; i < count && !error; i++)
        error = vks_request_encode(&requests[i], &encoded[i]);
    if (!error)
        error = device->transport->submit_batch(device->context, encoded, (uint32_t)count);
    for (size_t i = 0; i < count && !error; i++)
        vks_request_decode(&encoded[i], encoded[i].error, &requests[i]);
    free(encoded);
    return error;
}

int vks_enqueue(struct vks_device *device, struct vks_request *request)
{
    struct vks_ioc_request encoded;
    int error = vks_request_encode(request, &encoded);

    return error ? error : device->transport->enqueue(device->context, &encoded);
}

int vks_reap(struct vks_device *device, struct vks_request **finished, size_t *count)
{
    struct vks_ioc_request encoded[16];
    size_t room = *count;

    *count = 0;
    while (*count < room) {
        uint32_t wanted = sizeof(encoded) / sizeof(encoded[0]);
        uint32_t got;
        int error;

        if (wanted > room - *count)
            wanted = (uint32_t)(room - *count);
        got = wanted;
        error = device->transport->reap(device->context, encoded, &got);
        if (error)
            return *count ? 0 : error;
        for (uint32_t i = 0; i < got && i < wanted; i++) {
            struct vks_request *request = (struct vks_request *)(uintptr_t)encoded[i].user_data;

            vks_request_decode(&encoded[i], encoded[i].error, request);
            finished[(*count)++] = request;
        }
        if (got < wanted)
            break;
    }
    return 0;
}

int vks_poll_fd(const struct vks_device *device)
{
    return device->transport->poll_fd(device->context);
}
