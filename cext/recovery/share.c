/* SPDX-License-Identifier: Apache-2.0 */
/* Splitting and combining. Knows libgfshare; must not know files. */
#include "share.h"

#include <errno.h>
#include <libgfshare.h>
#include <openssl/crypto.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <string.h>

enum {
    VERSION = 1,
};

_Static_assert(sizeof(struct vks_share) == 4 + VKS_SHARE_SET_BYTES + VKS_KEK_ID_BYTES + VKS_KEK_BYTES, "no padding");

static bool no_random;

/* libgfshare asks for its coefficients here, and knows no failure. */
static void fill_random(unsigned char *bytes, unsigned int size_bytes)
{
    if (size_bytes && RAND_priv_bytes(bytes, (int)size_bytes) != 1)
        no_random = true;
}

static bool is_scheme(uint8_t threshold, size_t count)
{
    return threshold >= VKS_SHARE_THRESHOLD_MIN && threshold <= count && count <= VKS_SHARE_COUNT_MAX;
}

/* From exactly as many shares as it takes. */
static int interpolate(const struct vks_share *shares, uint8_t threshold, uint8_t kek[VKS_KEK_BYTES])
{
    uint8_t indexes[VKS_SHARE_COUNT_MAX];
    uint8_t bytes[VKS_KEK_BYTES];
    uint8_t id[VKS_KEK_ID_BYTES];
    gfshare_ctx *scheme;

    for (uint8_t i = 0; i < threshold; i++)
        indexes[i] = shares[i].index;
    scheme = gfshare_ctx_init_dec(indexes, threshold, VKS_KEK_BYTES);
    if (scheme == NULL)
        return -ENOMEM;
    for (uint8_t i = 0; i < threshold; i++) {
        memcpy(bytes, shares[i].bytes, sizeof(bytes));
        gfshare_ctx_dec_giveshare(scheme, i, bytes);
    }
    gfshare_ctx_dec_extract(scheme, kek);
    gfshare_ctx_free(scheme);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    if (vks_kek_id(kek, id))
        return -EIO;
    return memcmp(id, shares[0].kek_id, sizeof(id)) == 0 ? 0 : -EBADMSG;
}

static int make(const uint8_t kek[VKS_KEK_BYTES], const struct vks_share *like, struct vks_share *shares)
{
    uint8_t indexes[VKS_SHARE_COUNT_MAX];
    uint8_t secret[VKS_KEK_BYTES];
    gfshare_ctx *scheme;

    for (uint8_t i = 0; i < like->count; i++)
        indexes[i] = i + 1;
    scheme = gfshare_ctx_init_enc(indexes, like->count, like->threshold, VKS_KEK_BYTES);
    if (scheme == NULL)
        return -ENOMEM;
    memcpy(secret, kek, sizeof(secret));
    gfshare_ctx_enc_setsecret(scheme, secret);
    OPENSSL_cleanse(secret, sizeof(secret));
    for (uint8_t i = 0; i < like->count; i++) {
        shares[i] = *like;
        shares[i].index = indexes[i];
        gfshare_ctx_enc_getshare(scheme, i, shares[i].bytes);
    }
    gfshare_ctx_free(scheme);
    return no_random ? -EIO : 0;
}

int vks_share_split(const uint8_t kek[VKS_KEK_BYTES], const uint8_t kek_id[VKS_KEK_ID_BYTES], uint8_t threshold,
                    uint8_t count, struct vks_share *shares)
{
    struct vks_share like = {.version = VERSION, .threshold = threshold, .count = count};
    uint8_t again[VKS_KEK_BYTES];
    int error;

    if (!is_scheme(threshold, count))
        return -EINVAL;
    memcpy(like.kek_id, kek_id, sizeof(like.kek_id));
    if (RAND_bytes(like.set, sizeof(like.set)) != 1)
        return -EIO;
    gfshare_fill_rand = fill_random;
    error = make(kek, &like, shares);
    if (!error)
        error = interpolate(shares, threshold, again);
    if (!error)
        error = interpolate(shares + count - threshold, threshold, again);
    OPENSSL_cleanse(again, sizeof(again));
    return error;
}

static int check_set(const struct vks_share *shares, size_t count)
{
    if (count == 0 || shares[0].version != VERSION || !is_scheme(shares[0].threshold, shares[0].count))
        return -EINVAL;
    for (size_t i = 0; i < count; i++) {
        const struct vks_share *share = &shares[i];

        if (memcmp(share, shares, offsetof(struct vks_share, index)) != 0 ||
            memcmp(share->set, shares->set, sizeof(share->set) + sizeof(share->kek_id)) != 0)
            return -EXDEV;
        if (share->index == 0 || share->index > share->count)
            return -EINVAL;
        for (size_t j = 0; j < i; j++)
            if (shares[j].index == share->index)
                return -EEXIST;
    }
    return count < shares[0].threshold ? -EAGAIN : 0;
}

int vks_share_combine(const struct vks_share *shares, size_t count, uint8_t kek[VKS_KEK_BYTES])
{
    int error = check_set(shares, count);

    gfshare_fill_rand = fill_random; /* it wipes with it */
    if (!error)
        error = interpolate(shares, shares[0].threshold, kek);
    if (error)
        OPENSSL_cleanse(kek, VKS_KEK_BYTES);
    return error;
}
