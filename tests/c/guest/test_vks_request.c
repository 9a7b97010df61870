/* SPDX-License-Identifier: BSD-3-Clause */
/* libvks over a transport that answers what the test says: what is sent, and what of an answer is believed. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "../check.h"
#include "request.h"

/* A device that answers each request of a table with prepared bytes. */
struct fake {
    struct vks_ioc_request seen;
    unsigned int calls;
    int error;
    uint32_t status;
    uint32_t output_bytes;
    const uint8_t *output;
    size_t output_size;
};

static int fake_submit(void *context, struct vks_ioc_request *request)
{
    struct fake *fake = context;
    size_t room = le32toh(request->head.output_bytes);

    fake->seen = *request;
    fake->calls++;
    if (fake->output_size)
        memcpy((void *)(uintptr_t)request->output_ptr, fake->output,
               fake->output_size < room ? fake->output_size : room);
    request->status = fake->status;
    request->result.output_bytes = htole32(fake->output_bytes);
    request->result.sequence = htole64(77);
    request->result.key_version = htole32(3);
    return fake->error;
}

static int fake_batch(void *context, struct vks_ioc_request *requests, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++)
        requests[i].error = i == 1 ? -EFAULT : fake_submit(context, &requests[i]);
    return 0;
}

static const struct vks_transport transport = {.submit = fake_submit, .submit_batch = fake_batch};

static void test_encoding(void)
{
    struct fake fake = {.output_bytes = 4};
    struct vks_device device = {.transport = &transport, .context = &fake};
    uint8_t output[8];
    struct vks_request request = {
        .op = VKS_OP_SIGN,
        .use = {.key_id = {1, 2, 3}, .key_version = 0x01020304, .mechanism = 4, .is_digest = true},
        .parameter = {"p", 1},
        .aad = {"aa", 2},
        .input = {"iii", 3},
        .output = output,
        .output_size = sizeof(output),
    };
    const uint8_t *head = (const uint8_t *)&fake.seen.head;

    CHECK_EQUAL("submit", vks_submit(&device, &request), 0);
    CHECK_EQUAL("opcode", le32toh(fake.seen.head.opcode), 0x766b7304);
    CHECK_EQUAL("little-endian", head[0], VKS_OP_SIGN);
    CHECK_EQUAL("flags", le32toh(fake.seen.head.flags), VKS_REQUEST_F_DIGEST);
    CHECK_EQUAL("version", le32toh(fake.seen.head.key_version), 0x01020304);
    CHECK_EQUAL("id", fake.seen.head.key_id[2], 3);
    CHECK_EQUAL("parameter", le32toh(fake.seen.head.parameter_bytes), 1);
    CHECK_EQUAL("aad", le32toh(fake.seen.head.aad_bytes), 2);
    CHECK_EQUAL("input", le32toh(fake.seen.head.input_bytes), 3);
    CHECK_EQUAL("output", le32toh(fake.seen.head.output_bytes), 8);
    CHECK_EQUAL("abi", le16toh(fake.seen.head.abi_version), VKS_ABI_VERSION);
    CHECK_EQUAL("reserved", fake.seen.head.reserved0 | fake.seen.head.reserved1 | fake.seen.head.uid, 0);
    CHECK_EQUAL("written", request.output_written, 4);
    CHECK_EQUAL("sequence", request.sequence, 77);
    CHECK_EQUAL("used version", request.key_version, 3);
}

static const struct {
    const char *name;
    size_t parameter, aad, input;
    int error;
} lengths[] = {
    {"largest", VKS_PARAMETER_BYTES_MAX, VKS_AAD_BYTES_MAX, VKS_INPUT_BYTES_MAX, 0},
    {"parameter", VKS_PARAMETER_BYTES_MAX + 1, 0, 0, -E2BIG},
    {"aad", 0, VKS_AAD_BYTES_MAX + 1, 0, -E2BIG},
    {"input", 0, 0, VKS_INPUT_BYTES_MAX + 1, -E2BIG},
    {"beyond 32 bits", 0, 0, (size_t)1 << 32, -E2BIG},
    {"all bits", SIZE_MAX, SIZE_MAX, SIZE_MAX, -E2BIG},
};

static void test_lengths(void)
{
    for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
        struct fake fake = {0};
        struct vks_device device = {.transport = &transport, .context = &fake};
        struct vks_request request = {.op = VKS_OP_SIGN,
                                      .parameter = {"", lengths[i].parameter},
                                      .aad = {"", lengths[i].aad},
                                      .input = {"", lengths[i].input}};

        CHECK_EQUAL(lengths[i].name, vks_submit(&device, &request), lengths[i].error);
        CHECK_EQUAL(lengths[i].name, fake.calls, lengths[i].error ? 0 : 1);
    }
}

static const struct {
    const char *name;
    int transport_error;
    uint32_t status, output_bytes;
    int error;
    size_t written;
} answers[] = {
    {"all of it", 0, 0, 16, 0, 16},
    {"more than there is room", 0, 0, 17, -EPROTO, 0},
    {"much more", 0, 0, UINT32_MAX, -EPROTO, 0},
    {"needs more", 0, VKS_STATUS_OUTPUT_SIZE, 5000, VKS_STATUS_OUTPUT_SIZE, 5000},
    {"refused with a length", 0, VKS_STATUS_DENIED, 16, VKS_STATUS_DENIED, 0},
    {"no answer", -ENODEV, 0, 16, -ENODEV, 0},
};

static void test_answers(void)
{
    for (size_t i = 0; i < sizeof(answers) / sizeof(answers[0]); i++) {
        struct fake fake = {
            .error = answers[i].transport_error, .status = answers[i].status, .output_bytes = answers[i].output_bytes};
        struct vks_device device = {.transport = &transport, .context = &fake};
        struct vks_use use = {.key_version = 0};
        uint8_t tag[16];
        size_t size = sizeof(tag);

        CHECK_EQUAL(answers[i].name, vks_mac(&device, &use, (struct vks_bytes){"x", 1}, tag, &size), answers[i].error);
        CHECK_EQUAL(answers[i].name, size, answers[i].written);
    }
}

static void test_batch(void)
{
    struct fake fake = {.status = 0};
    struct vks_device device = {.transport = &transport, .context = &fake};
    struct vks_request requests[VKS_IOC_BATCH_MAX + 1] = {{.op = VKS_OP_RANDOM}};

    CHECK_EQUAL("none", vks_submit_batch(&device, requests, 0), -EINVAL);
    CHECK_EQUAL("too many", vks_submit_batch(&device, requests, VKS_IOC_BATCH_MAX + 1), -EINVAL);
    CHECK_EQUAL("batch", vks_submit_batch(&device, requests, 3), 0);
    CHECK_EQUAL("first", requests[0].error, 0);
    CHECK_EQUAL("second", requests[1].error, -EFAULT);
    CHECK_EQUAL("third", requests[2].error, 0);
    requests[2].input.size = SIZE_MAX;
    fake.calls = 0;
    CHECK_EQUAL("impossible", vks_submit_batch(&device, requests, 3), -E2BIG);
    CHECK_EQUAL("none was sent", fake.calls, 0);
}

static void test_random(void)
{
    uint8_t output[VKS_RANDOM_BYTES_MAX + 10];
    struct fake fake = {.output_bytes = VKS_RANDOM_BYTES_MAX};
    struct vks_device device = {.transport = &transport, .context = &fake};

    CHECK_EQUAL("second piece is short of what is said", vks_random(&device, output, sizeof(output)), -EPROTO);
    CHECK_EQUAL("pieces", fake.calls, 2);
    CHECK_EQUAL("second piece", le32toh(fake.seen.head.output_bytes), 10);
    fake.output_bytes = 9;
    CHECK_EQUAL("short answer is no random", vks_random(&device, output, 10), VKS_STATUS_INTERNAL);
    CHECK_EQUAL("nothing", vks_random(&device, output, 0), 0);
}

static const struct {
    const char *name;
    uint32_t mechanism;
    size_t room;
    int transport_error;
    uint32_t status, output_bytes;
    int error;
    size_t written;
} derivations[] = {
    {"one byte", VKS_MECHANISM_DEFAULT, 1, 0, 0, 1, 0, 1},
    {"the most", VKS_MECHANISM_HKDF_SHA512, VKS_SECRET_BYTES_MAX, 0, 0, VKS_SECRET_BYTES_MAX, 0, VKS_SECRET_BYTES_MAX},
    {"short of what was asked for", VKS_MECHANISM_DEFAULT, 32, 0, 0, 31, -EPROTO, 31},
    {"nothing of what was asked for", VKS_MECHANISM_ECDH_HKDF_SHA256, 32, 0, 0, 0, -EPROTO, 0},
    {"more than was asked for", VKS_MECHANISM_DEFAULT, 32, 0, 0, 33, -EPROTO, 0},
    {"the shared secret has its own size", VKS_MECHANISM_ECDH, VKS_SECRET_BYTES_MAX, 0, 0, 48, 0, 48},
    {"too little room for it", VKS_MECHANISM_ECDH, 32, 0, VKS_STATUS_OUTPUT_SIZE, 48, VKS_STATUS_OUTPUT_SIZE, 48},
    {"no release", VKS_MECHANISM_DEFAULT, 32, 0, VKS_STATUS_DENIED, 32, VKS_STATUS_DENIED, 0},
    {"not on the curve", VKS_MECHANISM_DEFAULT, 32, 0, VKS_STATUS_AUTH_FAILED, 0, VKS_STATUS_AUTH_FAILED, 0},
    {"no answer", VKS_MECHANISM_DEFAULT, 32, -ENODEV, 0, 32, -ENODEV, 0},
};

static void test_derive(void)
{
    for (size_t i = 0; i < sizeof(derivations) / sizeof(derivations[0]); i++) {
        struct fake fake = {.error = derivations[i].transport_error,
                            .status = derivations[i].status,
                            .output_bytes = derivations[i].output_bytes};
        struct vks_device device = {.transport = &transport, .context = &fake};
        struct vks_use use = {.mechanism = derivations[i].mechanism};
        uint8_t secret[VKS_SECRET_BYTES_MAX];
        size_t size = derivations[i].room;

        CHECK_EQUAL(derivations[i].name,
                    vks_derive(&device, &use, (struct vks_bytes){"peer", 4}, (struct vks_bytes){"s", 1},
                               (struct vks_bytes){"in", 2}, secret, &size),
                    derivations[i].error);
        CHECK_EQUAL(derivations[i].name, size, derivations[i].written);
        CHECK_EQUAL("opcode", le32toh(fake.seen.head.opcode), VKS_OPCODE(VKS_OP_DERIVE));
        CHECK_EQUAL("peer", le32toh(fake.seen.head.parameter_bytes), 4);
        CHECK_EQUAL("salt", le32toh(fake.seen.head.aad_bytes), 1);
        CHECK_EQUAL("info", le32toh(fake.seen.head.input_bytes), 2);
        CHECK_EQUAL("area", le32toh(fake.seen.head.output_bytes), derivations[i].room);
        CHECK_EQUAL("into the caller's memory", fake.seen.output_ptr, (uintptr_t)secret);
    }
}

static const struct {
    const char *name;
    size_t secret_size;
    uint32_t status, output_bytes;
    int error;
} data_keys[] = {
    {"one byte", 1, 0, 30, 0},
    {"the most", VKS_SECRET_BYTES_MAX, 0, 2 * VKS_SECRET_BYTES_MAX + 28, 0},
    {"no sealed form", 32, 0, 32, -EPROTO},
    {"nothing", 32, 0, 0, -EPROTO},
    {"a byte short", 32, 0, 91, -EPROTO},
    {"a byte more", 32, 0, 93, -EPROTO},
    {"no release", 32, VKS_STATUS_DENIED, 92, VKS_STATUS_DENIED},
};

static void test_data_key(void)
{
    for (size_t i = 0; i < sizeof(data_keys) / sizeof(data_keys[0]); i++) {
        struct fake fake = {.status = data_keys[i].status, .output_bytes = data_keys[i].output_bytes};
        struct vks_device device = {.transport = &transport, .context = &fake};
        struct vks_use use = {.key_version = 0};
        uint8_t output[VKS_DATA_KEY_BYTES(VKS_SECRET_BYTES_MAX)];

        CHECK_EQUAL(data_keys[i].name,
                    vks_data_key(&device, &use, (struct vks_bytes){"aad", 3}, output, data_keys[i].secret_size),
                    data_keys[i].error);
        CHECK_EQUAL("opcode", le32toh(fake.seen.head.opcode), VKS_OPCODE(VKS_OP_DATA_KEY));
        CHECK_EQUAL("aad", le32toh(fake.seen.head.aad_bytes), 3);
        CHECK_EQUAL("no more", fake.seen.head.parameter_bytes | fake.seen.head.input_bytes, 0);
        CHECK_EQUAL("area", le32toh(fake.seen.head.output_bytes), 2 * data_keys[i].secret_size + 28);
        CHECK_EQUAL("into the caller's memory", fake.seen.output_ptr, (uintptr_t)output);
    }
}

static const struct {
    const char *name;
    uint32_t status, output_bytes;
    int error;
} shared_secrets[] = {
    {"a secret", 0, 32, 0},
    {"nothing", 0, 0, -EPROTO},
    {"a byte short", 0, 31, -EPROTO},
    {"a byte more", 0, 33, -EPROTO},
    {"no release", VKS_STATUS_DENIED, 0, VKS_STATUS_DENIED},
    {"a ciphertext of another length", VKS_STATUS_INPUT_SIZE, 0, VKS_STATUS_INPUT_SIZE},
};

static void test_decapsulate(void)
{
    for (size_t i = 0; i < sizeof(shared_secrets) / sizeof(shared_secrets[0]); i++) {
        struct fake fake = {.status = shared_secrets[i].status, .output_bytes = shared_secrets[i].output_bytes};
        struct vks_device device = {.transport = &transport, .context = &fake};
        struct vks_use use = {.key_version = 0};
        uint8_t secret[VKS_SHARED_BYTES];

        CHECK_EQUAL(shared_secrets[i].name,
                    vks_decapsulate(&device, &use, (struct vks_bytes){"ciphertext", 10}, secret),
                    shared_secrets[i].error);
        CHECK_EQUAL("opcode", le32toh(fake.seen.head.opcode), VKS_OPCODE(VKS_OP_DECAPSULATE));
        CHECK_EQUAL("ciphertext", le32toh(fake.seen.head.input_bytes), 10);
        CHECK_EQUAL("no more", fake.seen.head.parameter_bytes | fake.seen.head.aad_bytes, 0);
        CHECK_EQUAL("area", le32toh(fake.seen.head.output_bytes), 32);
        CHECK_EQUAL("into the caller's memory", fake.seen.output_ptr, (uintptr_t)secret);
    }
}

/* Sizes of no secret: nothing is sent. */
static void test_secret_sizes(void)
{
    static const size_t sizes[] = {0, VKS_SECRET_BYTES_MAX + 1, SIZE_MAX};

    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct fake fake = {.calls = 0};
        struct vks_device device = {.transport = &transport, .context = &fake};
        struct vks_use use = {.key_version = 0};
        struct vks_bytes none = {NULL, 0};
        size_t size = sizes[i];
        uint8_t output[1];

        CHECK_EQUAL("derive", vks_derive(&device, &use, none, none, none, output, &size), -EINVAL);
        CHECK_EQUAL("data key", vks_data_key(&device, &use, none, output, sizes[i]), -EINVAL);
        CHECK_EQUAL("none was sent", fake.calls, 0);
    }
}

/* A page of a list: head and entries; the fake gives the same page again and again. */
struct page {
    struct vks_list_head head;
    struct vks_key_entry entries[2];
};

static const struct {
    const char *name;
    uint32_t entry_count, more, output_bytes;
    uint8_t second_id;
    int error;
} pages[] = {
    {"two keys", 2, 0, sizeof(struct page), 2, 0},
    {"empty", 0, 0, sizeof(struct vks_list_head), 2, 0},
    {"shorter than its head", 0, 0, 7, 2, -EPROTO},
    {"nothing", 0, 0, 0, 2, -EPROTO},
    {"more entries than bytes", 3, 0, sizeof(struct page), 2, -EPROTO},
    {"fewer entries than bytes", 1, 0, sizeof(struct page), 2, -EPROTO},
    {"count of 2^32 - 1", UINT32_MAX, 0, sizeof(struct page), 2, -EPROTO},
    {"half an entry", 1, 0, sizeof(struct vks_list_head) + 1, 2, -EPROTO},
    {"more, and none here", 0, 1, sizeof(struct vks_list_head), 2, -EPROTO},
    {"the same page for ever", 2, 1, sizeof(struct page), 2, -EPROTO},
    {"twice the same", 2, 0, sizeof(struct page), 1, -EPROTO},
    {"backwards", 2, 0, sizeof(struct page), 0, -EPROTO},
};

static void test_list(void)
{
    for (size_t i = 0; i < sizeof(pages) / sizeof(pages[0]); i++) {
        struct page page = {
            .head = {.entry_count = htole32(pages[i].entry_count), .more = htole32(pages[i].more)},
            .entries = {{.key_id = {1}, .version = htole32(1)},
                        {.key_id = {pages[i].second_id}, .version = htole32(1)}},
        };
        struct fake fake = {
            .output = (const uint8_t *)&page, .output_size = sizeof(page), .output_bytes = pages[i].output_bytes};
        struct vks_device device = {.transport = &transport, .context = &fake};
        struct vks_key *keys;
        size_t count;

        CHECK_EQUAL(pages[i].name, vks_list(&device, &keys, &count), pages[i].error);
        CHECK_EQUAL(pages[i].name, count, pages[i].error ? 0 : pages[i].entry_count);
        free(keys);
    }
}

static const struct {
    const char *name;
    uint32_t version;
    int error;
    uint32_t found_version;
    uint8_t found_id;
} searches[] = {
    {"web", 0, 0, 2, 1},
    {"web", 1, 0, 1, 1},
    {"web", 3, VKS_STATUS_NO_KEY, 0, 0},
    {"we", 0, VKS_STATUS_NO_KEY, 0, 0},
    {"", 0, VKS_STATUS_NO_KEY, 0, 0},
    {"01000000000000000000000000000000", 0, 0, 2, 1},
    {"0100000000000000000000000000000", 0, VKS_STATUS_NO_KEY, 0, 0},
    {"0100000000000000000000000000000g", 0, VKS_STATUS_NO_KEY, 0, 0},
};

/* A label without a NUL at its end must not be read beyond. */
static void test_find(void)
{
    struct page page = {
        .head = {.entry_count = htole32(2)},
        .entries = {{.key_id = {1}, .version = htole32(1), .label = "web"},
                    {.key_id = {1}, .version = htole32(2), .is_current = htole32(1), .label = "web"}},
    };
    struct fake fake = {.output = (const uint8_t *)&page, .output_size = sizeof(page), .output_bytes = sizeof(page)};
    struct vks_device device = {.transport = &transport, .context = &fake};
    struct vks_key key;
    char longest[VKS_LABEL_BYTES];

    for (size_t i = 0; i < sizeof(searches) / sizeof(searches[0]); i++) {
        memset(&key, 0, sizeof(key));
        CHECK_EQUAL(searches[i].name, vks_find_key(&device, searches[i].name, searches[i].version, &key),
                    searches[i].error);
        CHECK_EQUAL(searches[i].name, key.version, searches[i].found_version);
        CHECK_EQUAL(searches[i].name, key.id[0], searches[i].found_id);
    }
    memset(page.entries[1].label, 'x', sizeof(page.entries[1].label));
    memset(longest, 'x', sizeof(longest));
    longest[VKS_LABEL_BYTES - 1] = '\0';
    CHECK_EQUAL("label of 64", vks_find_key(&device, longest, 0, &key), 0);
    CHECK_EQUAL("terminated", strlen(key.label), VKS_LABEL_BYTES - 1);
}

/* Every status and every number of the ABI has its words. */
static void test_names(void)
{
    for (int status = VKS_STATUS_MALFORMED; status < VKS_STATUS_END; status++)
        CHECK("status text", strstr(vks_error_text(status), "does not know") == NULL);
    CHECK("unknown status", strstr(vks_error_text(VKS_STATUS_END), "does not know") != NULL);
    for (uint32_t i = 1; i < VKS_MECHANISM_COUNT; i++)
        CHECK_EQUAL("mechanism", vks_mechanism_from_name(vks_mechanism_name(i)), i);
    CHECK("mechanism", vks_mechanism_name(VKS_MECHANISM_COUNT) == NULL);
    CHECK_EQUAL("mechanism", vks_mechanism_from_name("aes"), 0);
    CHECK_EQUAL("mechanism", vks_mechanism_from_name("default"), 0);
    for (uint32_t i = 1; i < VKS_OP_COUNT; i++)
        CHECK("op", vks_op_name(i) != NULL);
    for (uint32_t i = 1; i < VKS_KEY_TYPE_COUNT; i++)
        CHECK_EQUAL("type", vks_key_type_from_name(vks_key_type_name(i)), i);
    CHECK_EQUAL("type", vks_key_type_from_name(""), 0);
    CHECK_EQUAL("type", vks_key_type_from_name("ec-p2560"), 0);
    for (uint32_t i = 0; i < VKS_KEY_STATE_COUNT; i++)
        CHECK("state", vks_key_state_name(i) != NULL);
    CHECK("login", strcmp(vks_op_name(VKS_OP_LOGIN), "login") == 0);
    CHECK("release", strcmp(vks_op_name(VKS_OP_RELEASE), "release") == 0);
    for (uint32_t i = VKS_OP_COUNT; i < 256; i++)
        CHECK_EQUAL("beyond", vks_op_name(i) != NULL, i == VKS_OP_LOGIN || i == VKS_OP_RELEASE);
    CHECK("beyond", !vks_op_name(VKS_OP_COUNT) && !vks_key_type_name(UINT32_MAX) && !vks_key_state_name(64));
}

int main(void)
{
    test_encoding();
    test_lengths();
    test_answers();
    test_batch();
    test_random();
    test_derive();
    test_data_key();
    test_decapsulate();
    test_secret_sizes();
    test_list();
    test_find();
    test_names();
    return 0;
}
