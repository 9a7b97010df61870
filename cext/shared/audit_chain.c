/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and following the audit log's hash chain. Knows the two ends of a line; what lies between is only hashed. */
#include "audit_chain.h"

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum {
    HEX_BYTES = 2 * VKS_AUDIT_HASH_BYTES,
    HEAD_BYTES_MAX = 32,
    TAIL_BYTES = 9 + HEX_BYTES + 2, /* ,"prev":"…"} */
};

static const char prev_name[] = ",\"prev\":\"";

_Static_assert(sizeof(prev_name) - 1 + HEX_BYTES + 2 == TAIL_BYTES, "tail of a line");
_Static_assert(HEAD_BYTES_MAX + TAIL_BYTES < VKS_AUDIT_LINK_TEXT_BYTES, "what a link adds to a line");

/* libcrypto looks an algorithm up by name: once a call of ours, not once a line. */
struct hasher {
    EVP_MD *sha256;
    EVP_MD_CTX *context;
};

static int hasher_start(struct hasher *hasher)
{
    hasher->sha256 = EVP_MD_fetch(NULL, "SHA256", NULL);
    hasher->context = EVP_MD_CTX_new();
    return hasher->sha256 && hasher->context ? 0 : -EIO;
}

static void hasher_end(struct hasher *hasher)
{
    EVP_MD_CTX_free(hasher->context);
    EVP_MD_free(hasher->sha256);
}

/* Move *link* to *line*, given without its newline. */
static int follow(struct hasher *hasher, struct vks_audit_link *link, const uint8_t *line, uint64_t size_bytes)
{
    if (EVP_DigestInit_ex2(hasher->context, hasher->sha256, NULL) != 1 ||
        EVP_DigestUpdate(hasher->context, line, size_bytes) != 1 ||
        EVP_DigestFinal_ex(hasher->context, link->hash, NULL) != 1)
        return -EIO;
    link->seq++;
    return 0;
}

static void write_tail(const struct vks_audit_link *link, uint8_t *tail)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *hex = tail + sizeof(prev_name) - 1;

    memcpy(tail, prev_name, sizeof(prev_name) - 1);
    for (uint32_t i = 0; i < VKS_AUDIT_HASH_BYTES; i++) {
        hex[2 * i] = (uint8_t)digits[link->hash[i] >> 4];
        hex[2 * i + 1] = (uint8_t)digits[link->hash[i] & 15];
    }
    memcpy(hex + HEX_BYTES, "\"}", 2);
}

/* The line after *link* around *body*, without newline; its bytes. */
static uint64_t write_line(const struct vks_audit_link *link, const uint8_t *body, uint64_t size_bytes, uint8_t *line)
{
    uint64_t head_bytes = (uint64_t)snprintf((char *)line, HEAD_BYTES_MAX, "{\"seq\":%" PRIu64 ",", link->seq + 1);

    /* Of the body all but its braces. */
    memcpy(line + head_bytes, body + 1, size_bytes - 2);
    write_tail(link, line + head_bytes + size_bytes - 2);
    return head_bytes + size_bytes - 2 + TAIL_BYTES;
}

int64_t vks_audit_chain_add(struct vks_audit_link *link, const uint8_t *bodies, uint64_t body_bytes, uint8_t *lines,
                            uint64_t lines_bytes_max)
{
    struct vks_audit_link standing = *link;
    struct hasher hasher;
    uint64_t done = 0, written = 0;
    int64_t error = hasher_start(&hasher);

    while (!error && done < body_bytes) {
        const uint8_t *body = bodies + done, *end = memchr(body, '\n', body_bytes - done);
        uint64_t size_bytes = end ? (uint64_t)(end - body) : 0;

        if (size_bytes < 3 || body[0] != '{' || body[size_bytes - 1] != '}') {
            error = -EINVAL;
        } else if (lines_bytes_max - written < size_bytes + VKS_AUDIT_LINK_TEXT_BYTES) {
            error = -EMSGSIZE;
        } else {
            uint64_t line_bytes = write_line(&standing, body, size_bytes, lines + written);

            error = follow(&hasher, &standing, lines + written, line_bytes);
            lines[written + line_bytes] = '\n';
            written += line_bytes + 1;
            done += size_bytes + 1;
        }
    }
    hasher_end(&hasher);
    if (error)
        return error;
    *link = standing;
    return (int64_t)written;
}

/* Only the one spelling that the writer has: a number written otherwise would be another line with the same meaning. */
static uint32_t find_problem(const struct vks_audit_link *link, const uint8_t *line, uint64_t size_bytes)
{
    char head[HEAD_BYTES_MAX];
    uint8_t tail[TAIL_BYTES];
    uint64_t head_bytes = (uint64_t)snprintf(head, sizeof(head), "{\"seq\":%" PRIu64 ",", link->seq + 1);
    const uint8_t *end;

    if (size_bytes < head_bytes + TAIL_BYTES || memcmp(line, head, 7) != 0)
        return VKS_AUDIT_CHAIN_NOT_A_LINE;
    end = line + size_bytes - TAIL_BYTES;
    if (memcmp(end, prev_name, sizeof(prev_name) - 1) != 0 || memcmp(line + size_bytes - 2, "\"}", 2) != 0)
        return VKS_AUDIT_CHAIN_NOT_A_LINE;
    if (memcmp(line, head, head_bytes) != 0)
        return VKS_AUDIT_CHAIN_WRONG_NUMBER;
    write_tail(link, tail);
    return memcmp(end, tail, TAIL_BYTES) == 0 ? VKS_AUDIT_CHAIN_OK : VKS_AUDIT_CHAIN_WRONG_HASH;
}

int64_t vks_audit_chain_check(struct vks_audit_link *link, const uint8_t *lines, uint64_t line_bytes, uint64_t seq_max,
                              uint32_t *problem)
{
    struct hasher hasher;
    uint64_t done = 0;
    int error = hasher_start(&hasher);

    *problem = VKS_AUDIT_CHAIN_OK;
    while (!error && done < line_bytes && link->seq < seq_max) {
        const uint8_t *line = lines + done, *end = memchr(line, '\n', line_bytes - done);
        uint64_t size_bytes = end ? (uint64_t)(end - line) : 0;

        *problem = end ? find_problem(link, line, size_bytes) : VKS_AUDIT_CHAIN_NOT_A_LINE;
        if (*problem != VKS_AUDIT_CHAIN_OK)
            break;
        error = follow(&hasher, link, line, size_bytes);
        done += size_bytes + 1;
    }
    hasher_end(&hasher);
    return error ? error : (int64_t)done;
}
