/* SPDX-License-Identifier: Apache-2.0 */
/* The text of a share. Its reader is given what people typed, or anything else. */
#include "share_text.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "algorithm.h"

enum {
    SUM_BYTES = 4,
    GROUP_BYTES = 2,
    LINE_GROUPS = 8,
};

static const char first_line[] = "vmm-keystore recovery share 1";
static const char digits[] = "0123456789abcdef";

struct summed {
    struct vks_share share;
    uint8_t sum[SUM_BYTES];
};

_Static_assert(sizeof(struct summed) == sizeof(struct vks_share) + SUM_BYTES, "no padding");

static int sum_of(const struct vks_share *share, uint8_t sum[SUM_BYTES])
{
    uint8_t digest[EVP_MAX_MD_SIZE];
    int done = EVP_Digest(share, sizeof(*share), digest, NULL, vks_hash_md(VKS_HASH_SHA256), NULL);

    memcpy(sum, digest, SUM_BYTES);
    OPENSSL_cleanse(digest, sizeof(digest));
    return done == 1 ? 0 : -EIO;
}

static void to_hex(const uint8_t *bytes, size_t size_bytes, char *hex)
{
    for (size_t i = 0; i < size_bytes; i++) {
        *hex++ = digits[bytes[i] >> 4];
        *hex++ = digits[bytes[i] & 15];
    }
    *hex = '\0';
}

static char *put_groups(const uint8_t *bytes, size_t size_bytes, char *text)
{
    for (size_t i = 0; i < size_bytes; i += GROUP_BYTES) {
        bool ends_line = i + GROUP_BYTES >= size_bytes || i / GROUP_BYTES % LINE_GROUPS == LINE_GROUPS - 1;

        to_hex(bytes + i, GROUP_BYTES, text);
        text += 2 * GROUP_BYTES;
        *text++ = ends_line ? '\n' : ' ';
    }
    return text;
}

int vks_share_format(const struct vks_share *share, char *text, size_t *size_bytes)
{
    struct summed whole = {.share = *share};
    char set[2 * sizeof(share->set) + 1];
    char kek_id[2 * sizeof(share->kek_id) + 1];
    int head_bytes;

    if (sum_of(share, whole.sum))
        return -EIO;
    to_hex(share->set, sizeof(share->set), set);
    to_hex(share->kek_id, sizeof(share->kek_id), kek_id);
    head_bytes = snprintf(text, VKS_SHARE_TEXT_BYTES_MAX, "%s\nshare %u of %u; any %u of set %s give the kek %s\n",
                          first_line, share->index, share->count, share->threshold, set, kek_id);
    *size_bytes = (size_t)(put_groups((const uint8_t *)&whole, sizeof(whole), text + head_bytes) - text);
    OPENSSL_cleanse(&whole, sizeof(whole));
    return 0;
}

/* What follows the first line and the one for people; NULL: it is no share. */
static const char *skip_head(const char *text, const char *end)
{
    size_t line_bytes = sizeof(first_line) - 1;

    if ((size_t)(end - text) < line_bytes || memcmp(text, first_line, line_bytes) != 0)
        return NULL;
    text += line_bytes;
    if (text < end && *text == '\r')
        text++;
    if (text == end || *text != '\n')
        return NULL;
    text = memchr(text + 1, '\n', (size_t)(end - text - 1));
    return text;
}

static int digit(char c)
{
    const char *found = memchr(digits, c >= 'A' && c <= 'F' ? c - 'A' + 'a' : c, sizeof(digits) - 1);

    return found ? (int)(found - digits) : -1;
}

static int read_digits(const char *text, const char *end, struct summed *whole)
{
    uint8_t *bytes = (uint8_t *)whole;
    size_t count = 0;

    for (; text < end; text++) {
        int value = digit(*text);

        if (*text == ' ' || *text == '\t' || *text == '\r' || *text == '\n')
            continue;
        if (value < 0 || count >= 2 * sizeof(*whole))
            return -EINVAL;
        bytes[count / 2] = count % 2 ? (uint8_t)(bytes[count / 2] | value) : (uint8_t)(value << 4);
        count++;
    }
    return count == 2 * sizeof(*whole) ? 0 : -EINVAL;
}

int vks_share_parse(const char *text, size_t size_bytes, struct vks_share *share)
{
    const char *end = text + size_bytes;
    const char *hex = skip_head(text, end);
    struct summed whole;
    uint8_t sum[SUM_BYTES];
    int error = hex ? read_digits(hex, end, &whole) : -EINVAL;

    if (!error)
        error = sum_of(&whole.share, sum);
    if (!error && memcmp(sum, whole.sum, SUM_BYTES) != 0)
        error = -EBADMSG;
    if (!error)
        *share = whole.share;
    OPENSSL_cleanse(&whole, sizeof(whole));
    return error;
}
