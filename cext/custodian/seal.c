/* SPDX-License-Identifier: Apache-2.0 */
/* Seal and unseal. Knows the KEK and the blob; must not know what keys are for. */
#include "seal.h"

#include <endian.h>
#include <errno.h>
#include <openssl/rand.h>
#include <string.h>

#include "root.h"
#include "secret_arena.h"

enum {
    MAGIC_BYTES = 4,
    SALT_BYTES = 32,
};

static const uint8_t magic[MAGIC_BYTES] = {'V', 'K', 'S', 1};
static const char label[] = "vmm-keystore seal v1";

struct aad {
    uint8_t magic[MAGIC_BYTES];
    uint8_t key_id[16];
    uint32_t version;
    uint32_t type;
};

_Static_assert(sizeof(struct aad) == 28, "no padding in associated data");

static struct aad make_aad(const struct vks_seal_name *name)
{
    struct aad aad = {.version = htole32(name->version), .type = htole32(name->type)};

    memcpy(aad.magic, magic, sizeof(magic));
    memcpy(aad.key_id, name->key_id, sizeof(aad.key_id));
    return aad;
}

static struct vks_one_time_key make_key(const uint8_t *kek, const uint8_t *salt)
{
    return (struct vks_one_time_key){{kek, VKS_KEK_BYTES}, {salt, SALT_BYTES}, {label, sizeof(label) - 1}};
}

static int seal_under(const uint8_t *kek, const struct vks_seal_name *name, const uint8_t *material,
                      size_t material_bytes, uint8_t *sealed)
{
    struct aad aad = make_aad(name);
    struct vks_one_time_key key;

    if (kek == NULL)
        return -ENOKEY;
    memcpy(sealed, magic, sizeof(magic));
    if (RAND_bytes(sealed + MAGIC_BYTES, SALT_BYTES) != 1)
        return -EIO;
    key = make_key(kek, sealed + MAGIC_BYTES);
    return vks_one_time_seal(&key, (struct vks_one_time_part){&aad, sizeof(aad)},
                             (struct vks_one_time_part){material, material_bytes}, sealed + MAGIC_BYTES + SALT_BYTES);
}

static int unseal_under(const uint8_t *kek, const struct vks_seal_name *name, const uint8_t *sealed,
                        size_t sealed_bytes, uint8_t *material)
{
    struct aad aad = make_aad(name);
    struct vks_one_time_key key;

    if (kek == NULL)
        return -EBADMSG;
    if (sealed_bytes < VKS_SEAL_OVERHEAD || memcmp(sealed, magic, sizeof(magic)) != 0)
        return -EBADMSG;
    key = make_key(kek, sealed + MAGIC_BYTES);
    return vks_one_time_open(
        &key, (struct vks_one_time_part){&aad, sizeof(aad)},
        (struct vks_one_time_part){sealed + MAGIC_BYTES + SALT_BYTES, sealed_bytes - MAGIC_BYTES - SALT_BYTES},
        material);
}

int vks_seal(const struct vks_seal_name *name, const uint8_t *material, size_t material_bytes, uint8_t *sealed)
{
    return seal_under(vks_root_kek(VKS_ROOT_CURRENT), name, material, material_bytes, sealed);
}

int vks_unseal(const struct vks_seal_name *name, const uint8_t *sealed, size_t sealed_bytes, uint8_t *material)
{
    int error;

    if (vks_root_kek(VKS_ROOT_CURRENT) == NULL)
        return -ENOKEY;
    error = unseal_under(vks_root_kek(VKS_ROOT_CURRENT), name, sealed, sealed_bytes, material);
    if (error == -EBADMSG)
        error = unseal_under(vks_root_kek(VKS_ROOT_PREVIOUS), name, sealed, sealed_bytes, material);
    return error;
}

int vks_reseal(const struct vks_seal_name *name, const uint8_t *sealed, size_t sealed_bytes, uint8_t *resealed)
{
    uint8_t *material;
    int error;

    if (sealed_bytes <= VKS_SEAL_OVERHEAD || sealed_bytes > VKS_SEAL_BYTES_MAX)
        return -EBADMSG;
    material = vks_secret_alloc(sealed_bytes - VKS_SEAL_OVERHEAD);
    if (material == NULL)
        return -ENOMEM;
    error = vks_unseal(name, sealed, sealed_bytes, material);
    if (!error)
        error = seal_under(vks_root_kek(VKS_ROOT_NEXT), name, material, sealed_bytes - VKS_SEAL_OVERHEAD, resealed);
    vks_secret_free(material);
    return error;
}
