/* SPDX-License-Identifier: Apache-2.0 */
/* The form of a request: the table of SPECIFICATION.md, 5, and the limits of the ABI header. */
#include "request.h"

#include <endian.h>
#include <stdbool.h>
#include <string.h>

/* What an operation takes. A length the table does not allow is malformed whatever the key. */
static const struct op_form {
    bool known;
    bool no_key; /* key id and version are zero */
    bool no_version;
    bool no_mechanism;
    bool parameter;
    bool aad;
    bool input;
    bool digest;
} forms[VKS_OP_COUNT] = {
    [VKS_OP_INFO] = {.known = true, .no_key = true, .no_mechanism = true, .input = true},
    [VKS_OP_LIST] = {.known = true, .no_key = true, .no_mechanism = true, .input = true},
    [VKS_OP_PUBLIC] = {.known = true, .no_mechanism = true},
    [VKS_OP_SIGN] = {.known = true, .input = true, .digest = true},
    [VKS_OP_VERIFY] = {.known = true, .parameter = true, .input = true, .digest = true},
    [VKS_OP_ENCRYPT] = {.known = true, .parameter = true, .aad = true, .input = true},
    [VKS_OP_DECRYPT] = {.known = true, .parameter = true, .aad = true, .input = true},
    [VKS_OP_MAC] = {.known = true, .input = true},
    [VKS_OP_MAC_VERIFY] = {.known = true, .parameter = true, .input = true},
    [VKS_OP_RANDOM] = {.known = true, .no_key = true, .no_mechanism = true},
    [VKS_OP_DERIVE] = {.known = true, .parameter = true, .aad = true, .input = true},
    [VKS_OP_DATA_KEY] = {.known = true, .aad = true},
    [VKS_OP_DECAPSULATE] = {.known = true, .input = true},
    [VKS_OP_GENERATE] = {.known = true, .no_key = true, .no_mechanism = true, .input = true},
    [VKS_OP_ROTATE] = {.known = true, .no_version = true, .no_mechanism = true},
    [VKS_OP_DESTROY] = {.known = true, .no_version = true, .no_mechanism = true},
};

/* Where the output area says how much is asked for, the most that it may say. */
static uint32_t output_bytes_max(uint32_t op)
{
    switch (op) {
    case VKS_OP_RANDOM:
        return VKS_RANDOM_BYTES_MAX;
    case VKS_OP_DERIVE:
        return VKS_SECRET_BYTES_MAX;
    default:
        return VKS_OUTPUT_BYTES_MAX;
    }
}

/* Where the input is a structure, no more than that: the lane that reads it has room for no more. */
static uint32_t input_bytes_max(uint32_t op)
{
    switch (op) {
    case VKS_OP_INFO:
        return sizeof(struct vks_info_request);
    case VKS_OP_LIST:
        return sizeof(struct vks_list_request);
    case VKS_OP_GENERATE:
        return sizeof(struct vks_generate_request);
    default:
        return VKS_INPUT_BYTES_MAX;
    }
}

static bool key_is_zero(const struct request *request)
{
    static const uint8_t zero[VKS_KEY_ID_BYTES];

    return request->key_version == 0 && memcmp(request->key_id, zero, sizeof(zero)) == 0;
}

static bool lengths_are_exact(const struct request *request, uint64_t readable_bytes, uint64_t writable_bytes)
{
    if (request->parameter_bytes > VKS_PARAMETER_BYTES_MAX || request->aad_bytes > VKS_AAD_BYTES_MAX ||
        request->input_bytes > VKS_INPUT_BYTES_MAX || request->output_bytes > VKS_OUTPUT_BYTES_MAX)
        return false;
    return readable_bytes == VKS_HEAD_BYTES + (uint64_t)request_payload_bytes(request) &&
           writable_bytes == (uint64_t)request->output_bytes + VKS_RESULT_BYTES + 1;
}

static bool form_fits(const struct request *request)
{
    const struct op_form *form = &forms[request->op];

    if ((form->no_key && !key_is_zero(request)) || (form->no_version && request->key_version) ||
        (form->no_mechanism && request->mechanism))
        return false;
    if (request->output_bytes > output_bytes_max(request->op) || request->input_bytes > input_bytes_max(request->op))
        return false;
    return (form->parameter || !request->parameter_bytes) && (form->aad || !request->aad_bytes) &&
           (form->input || !request->input_bytes);
}

static void request_load(struct request *request, const struct vks_request_head *head)
{
    request->op = le32toh(head->opcode) & 0xff;
    request->mechanism = le32toh(head->mechanism);
    request->flags = le32toh(head->flags);
    request->uid = le32toh(head->uid);
    memcpy(request->key_id, head->key_id, sizeof(request->key_id));
    request->key_version = le32toh(head->key_version);
    request->parameter_bytes = le32toh(head->parameter_bytes);
    request->aad_bytes = le32toh(head->aad_bytes);
    request->input_bytes = le32toh(head->input_bytes);
    request->output_bytes = le32toh(head->output_bytes);
}

uint32_t request_decode(struct request *request, const struct vks_request_head *head, uint64_t readable_bytes,
                        uint64_t writable_bytes)
{
    uint16_t abi_version;
    bool known;

    memset(request, 0, sizeof(*request));
    if (readable_bytes < VKS_HEAD_BYTES || le32toh(head->opcode) >> 8 != VKS_SERVICE)
        return VKS_STATUS_MALFORMED;
    request_load(request, head);
    known = request->op < VKS_OP_COUNT && forms[request->op].known;
    if ((request->flags & ~(uint32_t)VKS_REQUEST_FLAGS_MASK) || head->reserved0 || head->reserved1 ||
        (!(request->flags & VKS_REQUEST_F_UID) && request->uid))
        return VKS_STATUS_MALFORMED;
    if (!lengths_are_exact(request, readable_bytes, writable_bytes) || (known && !form_fits(request)))
        return VKS_STATUS_MALFORMED;
    abi_version = le16toh(head->abi_version);
    if (request->op != VKS_OP_INFO && (abi_version < VKS_ABI_VERSION_MIN || abi_version > VKS_ABI_VERSION))
        return VKS_STATUS_VERSION;
    if (!known || ((request->flags & VKS_REQUEST_F_DIGEST) && !forms[request->op].digest))
        return VKS_STATUS_UNSUPPORTED;
    return VKS_STATUS_OK;
}

uint32_t request_payload_bytes(const struct request *request)
{
    return request->parameter_bytes + request->aad_bytes + request->input_bytes;
}
