/* SPDX-License-Identifier: BSD-3-Clause */
/* One request in shared memory: what is sent, what of an answer is believed, and that nothing stays there. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../check.h"
#include "native_call.h"

enum {
    INPUT_BYTES = 5,
    OUTPUT_BYTES = 16,
    TAIL_BYTES = VKS_RESULT_BYTES + 1,
};

/* Request, memory and output area end where the sanitizer begins. */
struct rig {
    struct vks_ioc_request request;
    struct native_call call;
    uint8_t *base;
    uint8_t *output;
    size_t size_bytes;
};

static void rig_make(struct rig *rig, uint32_t op)
{
    struct vks_request_head *head = &rig->request.head;

    memset(rig, 0, sizeof(*rig));
    rig->output = calloc(1, OUTPUT_BYTES);
    head->opcode = htole32(op);
    head->parameter_bytes = htole32(2);
    head->aad_bytes = htole32(3);
    head->input_bytes = htole32(INPUT_BYTES);
    head->output_bytes = htole32(OUTPUT_BYTES);
    rig->request.parameter_ptr = (uintptr_t) "pp";
    rig->request.aad_ptr = (uintptr_t) "aaa";
    rig->request.input_ptr = (uintptr_t) "iiiii";
    rig->request.output_ptr = (uintptr_t)rig->output;
    rig->call.request = &rig->request;
    CHECK_EQUAL("measure", native_call_measure(&rig->call, &rig->size_bytes), 0);
    CHECK_EQUAL("size", rig->size_bytes, VKS_HEAD_BYTES + 2 + 3 + INPUT_BYTES + OUTPUT_BYTES + TAIL_BYTES);
    rig->base = calloc(1, rig->size_bytes);
    CHECK("memory", rig->base && rig->output);
}

static void rig_free(struct rig *rig)
{
    free(rig->base);
    free(rig->output);
}

static void device_answers(struct rig *rig, uint8_t status, uint32_t output_bytes, uint32_t used_bytes)
{
    struct vks_result result = {.output_bytes = htole32(output_bytes), .sequence = htole64(7)};
    uint8_t *output = rig->base + rig->call.readable_bytes;

    memset(output, 'o', OUTPUT_BYTES);
    memcpy(output + OUTPUT_BYTES, &result, sizeof(result));
    output[OUTPUT_BYTES + sizeof(result)] = status;
    rig->call.used_bytes = used_bytes;
}

/* MUST-51: no native client claims a user; MUST-32's other fields are the carrier's too. */
static void test_stamp(void)
{
    const struct vks_request_head *sent;
    struct rig rig;

    rig_make(&rig, 0x12345600 | VKS_OP_SIGN);
    rig.request.head.flags = htole32(VKS_REQUEST_F_UID | VKS_REQUEST_F_DIGEST);
    rig.request.head.uid = htole32(1000);
    rig.request.head.cookie = 1;
    rig.request.head.reserved0 = 2;
    rig.request.head.reserved1 = 3;
    native_call_fill(&rig.call, rig.base, 0);
    sent = (const struct vks_request_head *)(const void *)rig.base;
    CHECK_EQUAL("opcode", le32toh(sent->opcode), VKS_OPCODE(VKS_OP_SIGN));
    CHECK_EQUAL("flags", le32toh(sent->flags), VKS_REQUEST_F_DIGEST);
    CHECK_EQUAL("uid", sent->uid, 0);
    CHECK_EQUAL("reserved", sent->cookie | sent->reserved0 | sent->reserved1, 0);
    CHECK_EQUAL("parts", memcmp(rig.base + VKS_HEAD_BYTES, "ppaaaiiiii", 10), 0);
    CHECK_EQUAL("status", rig.base[rig.size_bytes - 1], 0xff);
    rig_free(&rig);
}

/* A caller's info must not switch off the signals that other threads wait for. */
static void test_info(void)
{
    struct vks_info_request info = {.driver_features = 0, .abi_version_max = htole16(1)}, sent;
    struct rig rig;

    rig_make(&rig, VKS_OP_INFO);
    free(rig.base);
    rig.request.head.parameter_bytes = rig.request.head.aad_bytes = 0;
    rig.request.head.input_bytes = htole32(sizeof(info));
    rig.request.input_ptr = (uintptr_t)&info;
    CHECK_EQUAL("measure", native_call_measure(&rig.call, &rig.size_bytes), 0);
    rig.base = calloc(1, rig.size_bytes);
    native_call_fill(&rig.call, rig.base, UINT64_C(1) << 29);
    memcpy(&sent, rig.base + VKS_HEAD_BYTES, sizeof(sent));
    CHECK_EQUAL("features", le64toh(sent.driver_features), 1 << 29);
    CHECK_EQUAL("versions", le16toh(sent.abi_version_max), 1);
    rig_free(&rig);
}

static const struct {
    const char *name;
    uint8_t status;
    uint32_t output_bytes, used_bytes;
    int call_error, error;
    bool has_output;
} answers[] = {
    {"all of it", VKS_STATUS_OK, OUTPUT_BYTES, OUTPUT_BYTES + TAIL_BYTES, 0, 0, true},
    {"nothing", VKS_STATUS_OK, 0, OUTPUT_BYTES + TAIL_BYTES, 0, 0, false},
    {"refused", VKS_STATUS_DENIED, 0, OUTPUT_BYTES + TAIL_BYTES, 0, 0, false},
    {"needs more", VKS_STATUS_OUTPUT_SIZE, 5000, OUTPUT_BYTES + TAIL_BYTES, 0, 0, false},
    {"one byte more than there is", VKS_STATUS_OK, OUTPUT_BYTES + 1, OUTPUT_BYTES + TAIL_BYTES, 0, -EPROTO, false},
    {"all bits", VKS_STATUS_OK, UINT32_MAX, OUTPUT_BYTES + TAIL_BYTES, 0, -EPROTO, false},
    {"used one less", VKS_STATUS_OK, OUTPUT_BYTES, OUTPUT_BYTES + TAIL_BYTES - 1, 0, -EPROTO, false},
    {"used more", VKS_STATUS_OK, OUTPUT_BYTES, UINT32_MAX, 0, -EPROTO, false},
    {"used nothing", VKS_STATUS_OK, OUTPUT_BYTES, 0, 0, -EPROTO, false},
    {"no status", 0xff, OUTPUT_BYTES, OUTPUT_BYTES + TAIL_BYTES, 0, -EPROTO, false},
    {"status behind the last", VKS_STATUS_END, 0, OUTPUT_BYTES + TAIL_BYTES, 0, -EPROTO, false},
    {"another device's", VKS_STATUS_FOREIGN_NOTSUPP, 0, OUTPUT_BYTES + TAIL_BYTES, 0, -EOPNOTSUPP, false},
    {"gone, whatever stands there", VKS_STATUS_OK, OUTPUT_BYTES, OUTPUT_BYTES + TAIL_BYTES, -ENODEV, -ENODEV, false},
};

static void test_answers(void)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct rig rig;

        rig_make(&rig, VKS_OP_ENCRYPT);
        native_call_fill(&rig.call, rig.base, 0);
        device_answers(&rig, answers[i].status, answers[i].output_bytes, answers[i].used_bytes);
        rig.call.error = answers[i].call_error;
        CHECK_EQUAL(answers[i].name, native_call_finish(&rig.call, rig.base), answers[i].error);
        CHECK_EQUAL(answers[i].name, rig.output[0] == 'o', answers[i].has_output);
        if (!answers[i].error)
            CHECK_EQUAL(answers[i].name, rig.request.status, answers[i].status);
        for (size_t at = 0; at < rig.size_bytes; at++)
            CHECK_EQUAL("wiped", rig.base[at], 0);
        rig_free(&rig);
    }
}

static const struct {
    const char *name;
    uint32_t parameter, aad, input, output;
    int error;
} lengths[] = {
    {"largest", VKS_PARAMETER_BYTES_MAX, VKS_AAD_BYTES_MAX, VKS_INPUT_BYTES_MAX, VKS_OUTPUT_BYTES_MAX, 0},
    {"parameter", VKS_PARAMETER_BYTES_MAX + 1, 0, 0, 0, -E2BIG},
    {"associated data", 0, VKS_AAD_BYTES_MAX + 1, 0, 0, -E2BIG},
    {"input", 0, 0, UINT32_MAX, 0, -E2BIG},
    {"output", 0, 0, 0, VKS_OUTPUT_BYTES_MAX + 1, -E2BIG},
};

static void test_lengths(void)
{
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct vks_ioc_request request = {.head = {.parameter_bytes = htole32(lengths[i].parameter),
                                                   .aad_bytes = htole32(lengths[i].aad),
                                                   .input_bytes = htole32(lengths[i].input),
                                                   .output_bytes = htole32(lengths[i].output)}};
        struct native_call call = {.request = &request};
        size_t size_bytes;

        CHECK_EQUAL(lengths[i].name, native_call_measure(&call, &size_bytes), lengths[i].error);
    }
}

int main(void)
{
    test_stamp();
    test_info();
    test_answers();
    test_lengths();
    return 0;
}
