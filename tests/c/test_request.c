/* SPDX-License-Identifier: Apache-2.0 */
/* Heads as a hostile driver writes them: every length, field and version tried wrong. */
#include <string.h>

#include "check.h"
#include "request.h"

enum {
    HEAD = VKS_HEAD_BYTES,
    TAIL = VKS_RESULT_BYTES + 1,
    OK = VKS_STATUS_OK,
    MALFORMED = VKS_STATUS_MALFORMED,
    VERSION = VKS_STATUS_VERSION,
    UNSUPPORTED = VKS_STATUS_UNSUPPORTED,
    MB = VKS_INPUT_BYTES_MAX,
    INFO = VKS_OP_INFO,
    LIST = VKS_OP_LIST,
    PUBLIC = VKS_OP_PUBLIC,
    SIGN = VKS_OP_SIGN,
    VERIFY = VKS_OP_VERIFY,
    ENCRYPT = VKS_OP_ENCRYPT,
    DECRYPT = VKS_OP_DECRYPT,
    MAC = VKS_OP_MAC,
    MAC_VERIFY = VKS_OP_MAC_VERIFY,
    RANDOM = VKS_OP_RANDOM,
};

static const struct {
    const char *name;
    struct vks_request_head head;
    uint64_t readable_bytes, writable_bytes;
    uint32_t want;
} cases[] = {
#define HEAD_V(version, op, ...)                                                                                       \
    {                                                                                                                  \
        .opcode = VKS_OPCODE(op), .abi_version = version, ##__VA_ARGS__                                                \
    }
#define HEAD_OF(op, ...) HEAD_V(1, op, ##__VA_ARGS__)
    {"sign", HEAD_OF(SIGN, .input_bytes = 5, .output_bytes = 64), HEAD + 5, 64 + TAIL, OK},
    {"everything at once",
     HEAD_OF(ENCRYPT, .parameter_bytes = 12, .aad_bytes = 7, .input_bytes = 5, .output_bytes = 33), HEAD + 24,
     33 + TAIL, OK},
    {"nothing at all", HEAD_OF(SIGN), 0, 0, MALFORMED},
    {"a byte less than a head", HEAD_OF(SIGN), HEAD - 1, TAIL, MALFORMED},
    {"a byte less than a result", HEAD_OF(SIGN), HEAD, TAIL - 1, MALFORMED},
    {"a status and nothing else", HEAD_OF(SIGN), HEAD, 1, MALFORMED},
    {"no writable byte", HEAD_OF(SIGN), HEAD, 0, MALFORMED},
    {"a trailing readable byte", HEAD_OF(SIGN, .input_bytes = 5), HEAD + 6, TAIL, MALFORMED},
    {"a missing readable byte", HEAD_OF(SIGN, .input_bytes = 5), HEAD + 4, TAIL, MALFORMED},
    {"a spare writable byte", HEAD_OF(SIGN, .output_bytes = 64), HEAD, 65 + TAIL, MALFORMED},
    {"a missing writable byte", HEAD_OF(SIGN, .output_bytes = 64), HEAD, 63 + TAIL, MALFORMED},
    {"largest input", HEAD_OF(SIGN, .input_bytes = MB), HEAD + MB, TAIL, OK},
    {"input above the limit", HEAD_OF(SIGN, .input_bytes = MB + 1), HEAD + MB + 1, TAIL, MALFORMED},
    {"largest parameter", HEAD_OF(VERIFY, .parameter_bytes = 8192), HEAD + 8192, TAIL, OK},
    {"parameter above the limit", HEAD_OF(VERIFY, .parameter_bytes = 8193), HEAD + 8193, TAIL, MALFORMED},
    {"largest associated data", HEAD_OF(ENCRYPT, .aad_bytes = 65536), HEAD + 65536, TAIL, OK},
    {"associated data above the limit", HEAD_OF(ENCRYPT, .aad_bytes = 65537), HEAD + 65537, TAIL, MALFORMED},
    {"largest output", HEAD_OF(SIGN, .output_bytes = 1052672), HEAD, 1052672 + TAIL, OK},
    {"output above the limit", HEAD_OF(SIGN, .output_bytes = 1052673), HEAD, 1052673 + TAIL, MALFORMED},
    {"lengths wrap to the right sum", HEAD_OF(ENCRYPT, .parameter_bytes = UINT32_MAX, .input_bytes = 1), HEAD, TAIL,
     MALFORMED},
    {"input wraps with the head", HEAD_OF(SIGN, .input_bytes = UINT32_MAX - HEAD + 1), 0, TAIL, MALFORMED},
    {"output wraps with the result", HEAD_OF(SIGN, .output_bytes = UINT32_MAX - TAIL + 1), HEAD, 0, MALFORMED},
    {"readable sum needs 33 bits", HEAD_OF(SIGN, .input_bytes = 5), 0x100000000 + HEAD + 5, TAIL, MALFORMED},
    {"writable sum needs 33 bits", HEAD_OF(SIGN), HEAD, 0x100000000 + TAIL, MALFORMED},
    {"another service", {.opcode = 0x00000104, .abi_version = 1}, HEAD, TAIL, MALFORMED},
    {"service off by one", {.opcode = VKS_OPCODE(SIGN) + 0x100, .abi_version = 1}, HEAD, TAIL, MALFORMED},
    {"first reserved field", HEAD_OF(SIGN, .reserved0 = 1), HEAD, TAIL, MALFORMED},
    {"last reserved field", HEAD_OF(SIGN, .reserved1 = UINT64_C(1) << 63), HEAD, TAIL, MALFORMED},
    {"unknown flag", HEAD_OF(SIGN, .flags = 4), HEAD, TAIL, MALFORMED},
    {"highest flag", HEAD_OF(SIGN, .flags = 0x80000000), HEAD, TAIL, MALFORMED},
    {"uid", HEAD_OF(SIGN, .flags = VKS_REQUEST_F_UID, .uid = 1000), HEAD, TAIL, OK},
    {"uid without its flag", HEAD_OF(SIGN, .uid = 1000), HEAD, TAIL, MALFORMED},
    {"version 0", HEAD_V(0, SIGN), HEAD, TAIL, VERSION},
    {"a newer version", HEAD_V(2, SIGN), HEAD, TAIL, VERSION},
    {"form comes before version", HEAD_V(2, SIGN, .reserved0 = 1), HEAD, TAIL, MALFORMED},
    {"version comes before operation", HEAD_V(2, 99), HEAD, TAIL, VERSION},
    {"info with a byte more", HEAD_OF(INFO, .input_bytes = 17), HEAD + 17, TAIL, MALFORMED},
    {"list with a byte more", HEAD_OF(LIST, .input_bytes = 25), HEAD + 25, TAIL, MALFORMED},
    {"generate", HEAD_OF(VKS_OP_GENERATE, .input_bytes = 72, .output_bytes = 16), HEAD + 72, 16 + TAIL, OK},
    {"generate with a byte more", HEAD_OF(VKS_OP_GENERATE, .input_bytes = 73), HEAD + 73, TAIL, MALFORMED},
    {"list of the largest input", HEAD_OF(LIST, .input_bytes = MB), HEAD + MB, TAIL, MALFORMED},
    {"rotate", HEAD_OF(VKS_OP_ROTATE), HEAD, TAIL, OK},
    {"rotate of a version", HEAD_OF(VKS_OP_ROTATE, .key_version = 1), HEAD, TAIL, MALFORMED},
    {"destroy with an input", HEAD_OF(VKS_OP_DESTROY, .input_bytes = 1), HEAD + 1, TAIL, MALFORMED},
    {"info of any version", HEAD_V(9, INFO, .input_bytes = 16), HEAD + 16, TAIL, OK},
    {"operation 0", HEAD_OF(0), HEAD, TAIL, UNSUPPORTED},
    {"operation behind the last", HEAD_OF(VKS_OP_COUNT), HEAD, TAIL, UNSUPPORTED},
    {"highest operation", HEAD_OF(255), HEAD, TAIL, UNSUPPORTED},
    {"digest", HEAD_OF(SIGN, .flags = VKS_REQUEST_F_DIGEST), HEAD, TAIL, OK},
    {"digest to verify", HEAD_OF(VERIFY, .flags = VKS_REQUEST_F_DIGEST), HEAD, TAIL, OK},
    {"digest to encrypt", HEAD_OF(ENCRYPT, .flags = VKS_REQUEST_F_DIGEST), HEAD, TAIL, UNSUPPORTED},
    {"digest to list", HEAD_OF(LIST, .flags = VKS_REQUEST_F_DIGEST, .input_bytes = 24), HEAD + 24, TAIL, UNSUPPORTED},
    {"sign with a parameter", HEAD_OF(SIGN, .parameter_bytes = 1), HEAD + 1, TAIL, MALFORMED},
    {"sign with associated data", HEAD_OF(SIGN, .aad_bytes = 1), HEAD + 1, TAIL, MALFORMED},
    {"verify with associated data", HEAD_OF(VERIFY, .aad_bytes = 1), HEAD + 1, TAIL, MALFORMED},
    {"mac with a parameter", HEAD_OF(MAC, .parameter_bytes = 1), HEAD + 1, TAIL, MALFORMED},
    {"mac-verify with associated data", HEAD_OF(MAC_VERIFY, .aad_bytes = 1), HEAD + 1, TAIL, MALFORMED},
    {"public with input", HEAD_OF(PUBLIC, .input_bytes = 1), HEAD + 1, TAIL, MALFORMED},
    {"public with a mechanism", HEAD_OF(PUBLIC, .mechanism = 1), HEAD, TAIL, MALFORMED},
    {"public with a key", HEAD_OF(PUBLIC, .key_id = {1}, .key_version = 3), HEAD, TAIL, OK},
    {"info with a key", HEAD_OF(INFO, .key_id = {1}), HEAD, TAIL, MALFORMED},
    {"info with a version", HEAD_OF(INFO, .key_version = 1), HEAD, TAIL, MALFORMED},
    {"list with the last byte of a key", HEAD_OF(LIST, .key_id = {[15] = 1}), HEAD, TAIL, MALFORMED},
    {"list with a mechanism", HEAD_OF(LIST, .mechanism = 1), HEAD, TAIL, MALFORMED},
    {"random", HEAD_OF(RANDOM, .output_bytes = 65536), HEAD, 65536 + TAIL, OK},
    {"random above its limit", HEAD_OF(RANDOM, .output_bytes = 65537), HEAD, 65537 + TAIL, MALFORMED},
    {"random with input", HEAD_OF(RANDOM, .input_bytes = 1), HEAD + 1, TAIL, MALFORMED},
    {"random with a key", HEAD_OF(RANDOM, .key_id = {1}), HEAD, TAIL, MALFORMED},
    {"a mechanism beyond the last is the key's to refuse", HEAD_OF(SIGN, .mechanism = UINT32_MAX), HEAD, TAIL, OK},
};

int main(void)
{
    struct request request;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint32_t status = request_decode(&request, &cases[i].head, cases[i].readable_bytes, cases[i].writable_bytes);

        CHECK_EQUAL(cases[i].name, status, cases[i].want);
        if (status == VKS_STATUS_OK)
            CHECK_EQUAL(cases[i].name, request_payload_bytes(&request), cases[i].readable_bytes - HEAD);
    }
    /* What is too short for a head is not read as one, whatever lies there. */
    CHECK_EQUAL("no head", request_decode(&request, NULL, HEAD - 1, TAIL), MALFORMED);
    CHECK_EQUAL("no head", request.op, 0);
    return 0;
}
