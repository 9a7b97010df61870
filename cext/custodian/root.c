/* SPDX-License-Identifier: Apache-2.0 */
/* The KEKs by age. Knows when which is in force; must not know what they seal. */
#include "root.h"

#include <errno.h>
#include <openssl/rand.h>
#include <sys/stat.h>

#include "confinement.h"
#include "file_status.h"
#include "secret_arena.h"

static uint8_t *keks[VKS_ROOT_AGE_COUNT]; /* in the arena */
static uint32_t kinds[VKS_ROOT_AGE_COUNT];
static const struct vks_root_blob no_blob;

static int check_private(int fd)
{
    struct stat st;

    if (vks_file_status(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || st.st_uid != vks_confinement_owner())
        return -EACCES;
    return 0;
}

static void put(enum vks_root_age age, uint8_t *kek, uint32_t kind)
{
    vks_secret_free(keks[age]);
    keks[age] = kek;
    kinds[age] = kind;
}

static int make(int fd, uint32_t kind, const struct vks_root_secret_input *secret, const struct vks_root_blob *blob,
                enum vks_root_age age)
{
    uint8_t *kek = vks_secret_alloc(VKS_KEK_BYTES);
    int error = kek == NULL ? -ENOMEM : RAND_priv_bytes(kek, VKS_KEK_BYTES) == 1 ? 0 : -EIO;

    if (!error)
        error = vks_root_file_write(fd, kind, secret, blob, kek);
    if (error)
        vks_secret_free(kek);
    else
        put(age, kek, kind);
    return error;
}

static int load(int fd, const struct vks_root_secret_input *secret)
{
    uint8_t *kek = vks_secret_alloc(VKS_KEK_BYTES);
    uint32_t kind = 0;
    int error = kek == NULL ? -ENOMEM : vks_root_file_read(fd, secret, &kind, kek);

    kinds[VKS_ROOT_CURRENT] = kind;
    if (error)
        vks_secret_free(kek);
    else
        put(VKS_ROOT_CURRENT, kek, kind);
    return error;
}

int vks_root_open(int fd, bool create, const struct vks_root_secret_input *secret)
{
    int error;

    if (keks[VKS_ROOT_CURRENT])
        return -EALREADY;
    error = check_private(fd);
    if (error)
        return error;
    return create ? make(fd, VKS_ROOT_FILE, secret, &no_blob, VKS_ROOT_CURRENT) : load(fd, secret);
}

int vks_root_change(int fd, uint32_t kind, const struct vks_root_secret_input *secret, const struct vks_root_blob *blob)
{
    int error = keks[VKS_ROOT_CURRENT] ? check_private(fd) : -ENOKEY;

    return error ? error : make(fd, kind, secret, blob, VKS_ROOT_NEXT);
}

int vks_root_switch(void)
{
    if (keks[VKS_ROOT_NEXT] == NULL)
        return -ENOKEY;
    put(VKS_ROOT_PREVIOUS, keks[VKS_ROOT_CURRENT], kinds[VKS_ROOT_CURRENT]);
    keks[VKS_ROOT_CURRENT] = NULL;
    put(VKS_ROOT_CURRENT, keks[VKS_ROOT_NEXT], kinds[VKS_ROOT_NEXT]);
    keks[VKS_ROOT_NEXT] = NULL;
    return 0;
}

const uint8_t *vks_root_kek(enum vks_root_age age)
{
    return keks[age];
}

uint32_t vks_root_kind(void)
{
    return kinds[VKS_ROOT_CURRENT];
}
