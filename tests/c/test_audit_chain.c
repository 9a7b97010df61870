/* SPDX-License-Identifier: Apache-2.0 */
/* The audit log's chain: what was written follows, and nothing else does. */
#include <errno.h>
#include <string.h>

#include "audit_chain.h"
#include "check.h"

static const char bodies[] = "{\"a\":1}\n{\"b\":\"x\"}\n{\"c\":[]}\n";

/* SHA-256 of the first two lines, by another implementation. */
static const char expected[] =
    "{\"seq\":1,\"a\":1,\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\"}\n"
    "{\"seq\":2,\"b\":\"x\",\"prev\":\"f3a992ce5255ff835ea4f5e8a040c0e453aa899d594de79996b3f08147922ac7\"}\n"
    "{\"seq\":3,\"c\":[],\"prev\":\"f74b40a6060a77525cae41dd37dcd479e3950cc9173fa8ad0d58fce5652e2cfc\"}\n";

static uint8_t lines[1024];

static int64_t write_lines(struct vks_audit_link *link)
{
    memset(link, 0, sizeof(*link));
    return vks_audit_chain_add(link, (const uint8_t *)bodies, sizeof(bodies) - 1, lines, sizeof(lines));
}

static void test_write(void)
{
    struct vks_audit_link link;

    CHECK_EQUAL("bytes", write_lines(&link), sizeof(expected) - 1);
    CHECK_EQUAL("lines", memcmp(lines, expected, sizeof(expected) - 1), 0);
    CHECK_EQUAL("number", link.seq, 3);
}

static void test_write_refuses(void)
{
    static const struct {
        const char *name, *bodies;
        uint64_t room_bytes;
        int64_t error;
    } cases[] = {
        {"no newline", "{\"a\":1}", 1024, -EINVAL},
        {"empty object", "{}\n", 1024, -EINVAL},
        {"empty line", "\n", 1024, -EINVAL},
        {"no object", "[1]\n", 1024, -EINVAL},
        {"cut object", "{\"a\":1\n", 1024, -EINVAL},
        {"the second is none", "{\"a\":1}\n}{\n", 1024, -EINVAL},
        {"no room", "{\"a\":1}\n", 7 + VKS_AUDIT_LINK_TEXT_BYTES - 1, -EMSGSIZE},
        {"no room for the second", "{\"a\":1}\n{\"a\":1}\n", 2 * (7 + VKS_AUDIT_LINK_TEXT_BYTES) - 60, -EMSGSIZE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vks_audit_link link = {.seq = 7};
        const uint8_t *text = (const uint8_t *)cases[i].bodies;

        CHECK_EQUAL(cases[i].name,
                    vks_audit_chain_add(&link, text, strlen(cases[i].bodies), lines, cases[i].room_bytes),
                    cases[i].error);
        CHECK_EQUAL(cases[i].name, link.seq, 7);
    }
}

static void test_check(void)
{
    struct vks_audit_link end, link = {0};
    int64_t size_bytes = write_lines(&end);
    uint32_t problem;

    CHECK_EQUAL("all", vks_audit_chain_check(&link, lines, (uint64_t)size_bytes, UINT64_MAX, &problem), size_bytes);
    CHECK_EQUAL("no problem", problem, VKS_AUDIT_CHAIN_OK);
    CHECK_EQUAL("the same end", memcmp(&link, &end, sizeof(link)), 0);
    memset(&link, 0, sizeof(link));
    CHECK("stops at a number",
          vks_audit_chain_check(&link, lines, (uint64_t)size_bytes, 2, &problem) < size_bytes && link.seq == 2);
}

/* Every byte of every line, set to every other value of a few: nothing goes unseen but a change of the last line's own
 * members, which only the next line or a signature tells. */
static void test_every_byte(void)
{
    static const uint8_t values[] = {0, '\n', '"', '0', '1', 'f', 'F', ' ', '{', 0xff};
    struct vks_audit_link end;
    uint64_t size_bytes = (uint64_t)write_lines(&end);
    uint64_t last_member = size_bytes - strlen("\"c\":[],\"prev\":\"\"}\n") - 64;

    for (uint64_t place = 0; place < size_bytes; place++)
        for (size_t i = 0; i < sizeof(values); i++) {
            struct vks_audit_link link = {0};
            uint8_t original = lines[place];
            uint32_t problem = VKS_AUDIT_CHAIN_OK;
            int64_t good;

            if (original == values[i])
                continue;
            lines[place] = values[i];
            good = vks_audit_chain_check(&link, lines, size_bytes, UINT64_MAX, &problem);
            lines[place] = original;
            if (place >= last_member && place < last_member + strlen("\"c\":[]") && values[i] != '\n') {
                CHECK("another end", memcmp(&link, &end, sizeof(link)) != 0);
                continue;
            }
            CHECK("a problem", problem != VKS_AUDIT_CHAIN_OK);
            CHECK("before the end", good < (int64_t)size_bytes);
        }
}

static void test_problems(void)
{
    static const struct {
        const char *name, *lines;
        uint32_t problem;
    } cases[] = {
        {"empty line", "\n", VKS_AUDIT_CHAIN_NOT_A_LINE},
        {"short", "{\"seq\":1,\"prev\":\"\"}\n", VKS_AUDIT_CHAIN_NOT_A_LINE},
        {"another number",
         "{\"seq\":2,\"a\":1,\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\"}\n",
         VKS_AUDIT_CHAIN_WRONG_NUMBER},
        {"number with a zero in front",
         "{\"seq\":01,\"a\":1,\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\"}\n",
         VKS_AUDIT_CHAIN_WRONG_NUMBER},
        {"another hash",
         "{\"seq\":1,\"a\":1,\"prev\":\"0000000000000000000000000000000000000000000000000000000000000001\"}\n",
         VKS_AUDIT_CHAIN_WRONG_HASH},
        {"no newline",
         "{\"seq\":1,\"a\":1,\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\"}",
         VKS_AUDIT_CHAIN_NOT_A_LINE},
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct vks_audit_link link = {0};
        const uint8_t *text = (const uint8_t *)cases[i].lines;
        uint32_t problem;

        CHECK_EQUAL(cases[i].name, vks_audit_chain_check(&link, text, strlen(cases[i].lines), UINT64_MAX, &problem), 0);
        CHECK_EQUAL(cases[i].name, problem, cases[i].problem);
    }
}

int main(void)
{
    test_write();
    test_write_refuses();
    test_check();
    test_every_byte();
    test_problems();
    return 0;
}
