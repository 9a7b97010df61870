/* SPDX-License-Identifier: Apache-2.0 */
/* Loading and freeing of keys. Knows slots and material; must not know operations. */
#include "key.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <string.h>

#include "key_material.h"
#include "key_private.h"
#include "rsa_engine_key.h"
#include "secret_arena.h"

static void lane_free(struct vks_key_lane *lane)
{
    EVP_PKEY_CTX_free(lane->private_use.context);
    EVP_PKEY_CTX_free(lane->public_use.context);
    EVP_PKEY_CTX_free(lane->derive);
    EVP_PKEY_CTX_free(lane->decapsulate);
    EVP_MD_CTX_free(lane->pure_signature);
    EVP_MAC_CTX_free(lane->mac);
    for (int mode = 0; mode < VKS_CIPHER_MODE_COUNT; mode++)
        for (int encrypt = 0; encrypt < 2; encrypt++)
            EVP_CIPHER_CTX_free(lane->cipher[mode][encrypt]);
    if (lane->engine)
        lane->engine_free(lane->engine);
    vks_secret_free(lane);
}

static void key_free(struct vks_key *key)
{
    if (key == NULL)
        return;
    for (int lane = 0; lane < VKS_LANE_COUNT; lane++)
        if (key->lane[lane])
            lane_free(key->lane[lane]);
    EVP_PKEY_free(key->pkey);
    OPENSSL_free(key->public_der);
    vks_secret_free(key->material);
    vks_secret_free(key);
}

static int load_raw(struct vks_key *key, const uint8_t *material, uint32_t material_bytes)
{
    int error = vks_key_material_check_raw(key->kind, material, material_bytes);

    if (error)
        return error;
    key->material = vks_secret_alloc(material_bytes);
    if (key->material == NULL)
        return -ENOMEM;
    memcpy(key->material, material, material_bytes);
    key->material_bytes = material_bytes;
    return 0;
}

int vks_key_load(const struct vks_key_slot *slot, const uint8_t *material, struct vks_key **key)
{
    const struct vks_key_kind *kind = vks_key_kind_find(slot->type & ~(uint32_t)VKS_TYPE_F_TOKEN);
    struct vks_key *made;
    int error;

    *key = NULL;
    if (kind == NULL || slot->material_bytes == 0)
        return -EINVAL;
    made = vks_secret_alloc(sizeof(*made));
    if (made == NULL)
        return -ENOMEM;
    memcpy(made->key_id, slot->key_id, sizeof(made->key_id));
    made->version = slot->version;
    made->reference_count = 1;
    made->touched = true;
    made->kind = kind;
    made->nonce_lease = slot->nonce_lease;
    made->in_token = slot->type & VKS_TYPE_F_TOKEN;
    if (made->in_token)
        error = vks_key_material_parse_public(kind, material, slot->material_bytes, &made->pkey);
    else if (vks_key_kind_is_symmetric(kind))
        error = load_raw(made, material, slot->material_bytes);
    else
        error = vks_key_material_parse(kind, material, slot->material_bytes, &made->pkey);
    made->plain_rsa = error == 0 && kind->family == VKS_KEY_FAMILY_RSA && !made->in_token &&
                      vks_rsa_engine_key_suits(kind, made->pkey);
    if (error) {
        key_free(made);
        return error;
    }
    *key = made;
    return 0;
}

struct vks_key_lane *vks_key_lane(struct vks_key *key, enum vks_lane lane)
{
    if (key->lane[lane] == NULL)
        key->lane[lane] = vks_secret_alloc(sizeof(struct vks_key_lane));
    return key->lane[lane];
}

uint8_t *vks_key_engine_part(struct vks_key *key, enum vks_lane lane, size_t size_bytes, vks_engine_part_make *make)
{
    struct vks_key_lane *of = vks_key_lane(key, lane);
    uint8_t *block;

    if (of == NULL || of->engine)
        return of ? of->engine : NULL;
    block = vks_secret_alloc(size_bytes);
    if (block == NULL || !make(key, lane, block)) {
        vks_secret_free(block);
        return NULL;
    }
    of->engine = block;
    of->engine_free = vks_secret_free;
    return block;
}

void vks_key_ref(struct vks_key *key)
{
    key->reference_count++;
}

void vks_key_unref(struct vks_key *key)
{
    if (key && --key->reference_count == 0)
        key_free(key);
}

void vks_key_touch(struct vks_key *key)
{
    key->touched = true;
}

bool vks_key_may_go(struct vks_key *key)
{
    bool touched = key->touched;

    key->touched = false;
    return !touched && key->reference_count == 1;
}

const uint8_t *vks_key_id(const struct vks_key *key)
{
    return key->key_id;
}

uint32_t vks_key_version(const struct vks_key *key)
{
    return key->version;
}

uint32_t vks_key_type(const struct vks_key *key)
{
    return key->kind->type;
}

bool vks_key_is_in_token(const struct vks_key *key)
{
    return key->in_token;
}
