/* SPDX-License-Identifier: Apache-2.0 */
/* Both ends of an import's way. Knows the wrapping; must not know files or the store. */
#include "import_wrap.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <string.h>

#include "secret_arena.h"

enum {
    VERSION = 1,
    POINT_BYTES = 32,
    TYPE_BYTES = 4,
};

static const char label[] = "vmm-keystore import v1";

/* RFC 5869, 2.2: "if not provided"; libcrypto 3.0 wants it spelled out. */
static const uint8_t no_salt[32];

struct info {
    uint8_t label[sizeof(label) - 1];
    uint8_t offer_id[16];
    uint8_t ephemeral[POINT_BYTES];
    uint8_t offer_key[POINT_BYTES];
};

/* X25519; a peer key of small order gives zero, which libcrypto refuses (RFC 7748, 6.1). */
static int agree(EVP_PKEY *ours, const uint8_t theirs[POINT_BYTES], uint8_t shared[POINT_BYTES])
{
    EVP_PKEY *peer = EVP_PKEY_new_raw_public_key_ex(NULL, "X25519", NULL, theirs, POINT_BYTES);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_pkey(NULL, ours, NULL);
    size_t shared_bytes = POINT_BYTES;
    int error = -EBADMSG;

    if (peer && context && EVP_PKEY_derive_init(context) == 1 && EVP_PKEY_derive_set_peer(context, peer) == 1 &&
        EVP_PKEY_derive(context, shared, &shared_bytes) == 1 && shared_bytes == POINT_BYTES)
        error = 0;
    EVP_PKEY_CTX_free(context);
    EVP_PKEY_free(peer);
    ERR_clear_error();
    return error;
}

static struct info make_info(const struct vks_custodian_offer *offer, const uint8_t ephemeral[POINT_BYTES])
{
    struct info info;

    memcpy(info.label, label, sizeof(info.label));
    memcpy(info.offer_id, offer->offer_id, sizeof(info.offer_id));
    memcpy(info.ephemeral, ephemeral, sizeof(info.ephemeral));
    memcpy(info.offer_key, offer->public_key, sizeof(info.offer_key));
    return info;
}

int vks_import_wrap(const struct vks_custodian_offer *offer, uint32_t type, const uint8_t *material,
                    size_t material_bytes, uint8_t *wrapped)
{
    const uint8_t type_bytes[TYPE_BYTES] = {(uint8_t)type, (uint8_t)(type >> 8), (uint8_t)(type >> 16),
                                            (uint8_t)(type >> 24)};
    size_t point_bytes = POINT_BYTES;
    uint8_t shared[POINT_BYTES];
    EVP_PKEY *ephemeral = NULL;
    uint8_t *text = NULL;
    struct info info;
    int error = -EIO;

    if (material_bytes > VKS_KEY_MATERIAL_BYTES_MAX)
        return -EINVAL;
    ephemeral = EVP_PKEY_Q_keygen(NULL, NULL, "X25519");
    text = vks_secret_alloc(TYPE_BYTES + material_bytes);
    wrapped[0] = VERSION;
    if (ephemeral == NULL || text == NULL || EVP_PKEY_get_raw_public_key(ephemeral, wrapped + 1, &point_bytes) != 1)
        goto out;
    error = agree(ephemeral, offer->public_key, shared);
    if (error)
        goto out;
    memcpy(text, type_bytes, TYPE_BYTES);
    memcpy(text + TYPE_BYTES, material, material_bytes);
    info = make_info(offer, wrapped + 1);
    error = vks_one_time_seal(
        &(struct vks_one_time_key){{shared, sizeof(shared)}, {no_salt, sizeof(no_salt)}, {&info, sizeof(info)}},
        (struct vks_one_time_part){wrapped, 1}, (struct vks_one_time_part){text, TYPE_BYTES + material_bytes},
        wrapped + 1 + POINT_BYTES);
out:
    OPENSSL_cleanse(shared, sizeof(shared));
    vks_secret_free(text);
    EVP_PKEY_free(ephemeral);
    return error;
}

int vks_import_unwrap(const struct vks_custodian_offer *offer, EVP_PKEY *private_key, const uint8_t *wrapped,
                      size_t wrapped_bytes, uint32_t *type, uint8_t **material, size_t *material_bytes)
{
    uint8_t shared[POINT_BYTES];
    struct info info;
    uint8_t *text;
    size_t text_bytes;
    int error;

    *material = NULL;
    if (wrapped_bytes <= VKS_IMPORT_WRAPPED_OVERHEAD || wrapped_bytes > VKS_IMPORT_WRAPPED_BYTES_MAX ||
        wrapped[0] != VERSION)
        return -EBADMSG;
    text_bytes = wrapped_bytes - 1 - POINT_BYTES - VKS_ONE_TIME_TAG_BYTES;
    error = agree(private_key, wrapped + 1, shared);
    if (error)
        return error;
    text = vks_secret_alloc(text_bytes);
    info = make_info(offer, wrapped + 1);
    error = text == NULL
                ? -ENOMEM
                : vks_one_time_open(
                      &(struct vks_one_time_key){
                          {shared, sizeof(shared)}, {no_salt, sizeof(no_salt)}, {&info, sizeof(info)}},
                      (struct vks_one_time_part){wrapped, 1},
                      (struct vks_one_time_part){wrapped + 1 + POINT_BYTES, wrapped_bytes - 1 - POINT_BYTES}, text);
    OPENSSL_cleanse(shared, sizeof(shared));
    if (error) {
        vks_secret_free(text);
        return error;
    }
    *type = (uint32_t)text[0] | (uint32_t)text[1] << 8 | (uint32_t)text[2] << 16 | (uint32_t)text[3] << 24;
    *material_bytes = text_bytes - TYPE_BYTES;
    memmove(text, text + TYPE_BYTES, *material_bytes);
    *material = text;
    return 0;
}
