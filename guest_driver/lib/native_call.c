/* SPDX-License-Identifier: BSD-3-Clause */
/* Encoding of a request, and the checks on what a device answered. */
#define _GNU_SOURCE /* explicit_bzero */
#include <endian.h>
#include <errno.h>
#include <string.h>

#include "native_call.h"

#define STATUS_UNSET   0xff /* what the status byte holds until the device writes it */
#define DRIVER_VERSION ((0 << 16) | (1 << 8) | 0)

static size_t tail_bytes(void)
{
    return VKS_RESULT_BYTES + 1;
}

int native_call_measure(struct native_call *call, size_t *size_bytes)
{
    const struct vks_request_head *head = &call->request->head;
    uint32_t parameter_bytes = le32toh(head->parameter_bytes), aad_bytes = le32toh(head->aad_bytes);
    uint32_t input_bytes = le32toh(head->input_bytes);

    call->output_bytes = le32toh(head->output_bytes);
    if (parameter_bytes > VKS_PARAMETER_BYTES_MAX || aad_bytes > VKS_AAD_BYTES_MAX ||
        input_bytes > VKS_INPUT_BYTES_MAX || call->output_bytes > VKS_OUTPUT_BYTES_MAX)
        return -E2BIG;
    call->readable_bytes = VKS_HEAD_BYTES + parameter_bytes + aad_bytes + input_bytes;
    *size_bytes = call->readable_bytes + call->output_bytes + tail_bytes();
    return 0;
}

/* What the carrier alone decides. There is no kernel that vouches for a user: it claims none. */
static void stamp(struct vks_request_head *head)
{
    head->opcode = htole32(VKS_OPCODE(le32toh(head->opcode) & 0xff));
    head->cookie = 0;
    head->flags &= htole32(~(uint32_t)VKS_REQUEST_F_UID);
    head->uid = 0;
    head->reserved0 = 0;
    head->reserved1 = 0;
}

static uint8_t *put(uint8_t *to, uint64_t from, uint32_t bytes)
{
    if (bytes)
        memcpy(to, (const void *)(uintptr_t)from, bytes);
    return to + bytes;
}

/* The features in info switch the device's notifications: a caller's info goes out with what the ring negotiated. */
static void stamp_info(const struct vks_request_head *head, uint8_t *input, uint64_t features)
{
    struct vks_info_request info;

    if (le32toh(head->opcode) != VKS_OPCODE(VKS_OP_INFO) || head->parameter_bytes || head->aad_bytes ||
        le32toh(head->input_bytes) != sizeof(info))
        return;
    memcpy(&info, input, sizeof(info));
    info.driver_version = htole32(DRIVER_VERSION);
    info.driver_features = htole64(features);
    memcpy(input, &info, sizeof(info));
}

void native_call_fill(const struct native_call *call, uint8_t *base, uint64_t features)
{
    const struct vks_ioc_request *request = call->request;
    struct vks_request_head head = request->head;
    uint8_t *at = base + call->place.offset, *input;

    stamp(&head);
    memcpy(at, &head, sizeof(head));
    at = put(at + sizeof(head), request->parameter_ptr, le32toh(head.parameter_bytes));
    input = put(at, request->aad_ptr, le32toh(head.aad_bytes));
    at = put(input, request->input_ptr, le32toh(head.input_bytes));
    stamp_info(&head, input, features);
    at[call->output_bytes + VKS_RESULT_BYTES] = STATUS_UNSET;
}

/* 0 for the answers of this ABI, which the caller reads itself. */
static int status_error(uint8_t status)
{
    if (status == VKS_STATUS_OK || (status >= VKS_STATUS_MALFORMED && status < VKS_STATUS_END))
        return 0;
    /* The rest of virtio-crypto's own, or a byte that the device never wrote. */
    return status == VKS_STATUS_FOREIGN_NOTSUPP ? -EOPNOTSUPP : -EPROTO;
}

/*
 * Status first; no length of the device's is used before it was held against the buffers that we gave (MUST-15). The
 * device may go on writing: each byte is read once, and what is judged is a copy.
 */
static int judge(const struct native_call *call, const uint8_t *output)
{
    struct vks_ioc_request *request = call->request;
    uint8_t status = *(const volatile uint8_t *)(output + call->output_bytes + VKS_RESULT_BYTES);
    uint32_t output_bytes;
    int error = status_error(status);

    if (error)
        return error;
    if (call->used_bytes != call->output_bytes + tail_bytes())
        return -EPROTO;
    memcpy(&request->result, output + call->output_bytes, sizeof(request->result));
    /* The compiler must not look into shared memory again. */
    __asm__ volatile("" ::: "memory");
    output_bytes = le32toh(request->result.output_bytes);
    if (status == VKS_STATUS_OK && output_bytes > call->output_bytes)
        return -EPROTO;
    request->status = status;
    if (status == VKS_STATUS_OK && output_bytes)
        memcpy((void *)(uintptr_t)request->output_ptr, output, output_bytes);
    return 0;
}

int native_call_finish(const struct native_call *call, uint8_t *base)
{
    uint8_t *at = base + call->place.offset;
    int error = call->error ? call->error : judge(call, at + call->readable_bytes);

    explicit_bzero(at, call->readable_bytes + call->output_bytes + tail_bytes());
    return error;
}
