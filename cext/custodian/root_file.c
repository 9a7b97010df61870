/* SPDX-License-Identifier: Apache-2.0 */
/* Reading and writing of KEK files. Knows their bytes and kinds; must not know what a KEK seals. */
#include "root_file.h"

#include <endian.h>
#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <stdbool.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "algorithm.h"
#include "file_status.h"
#include "one_time_aead.h"
#include "secret_arena.h"
#include "stretch.h"

enum {
    LINE_BYTES = 19,
    SUM_BYTES = 32,
};

static const char clear_line[] = "vmm-keystore kek 1\n";
static const char sealed_line[] = "vmm-keystore kek 2\n";
static const char label[] = "vmm-keystore root v1";

struct clear_file {
    char line[LINE_BYTES];
    uint8_t kek[VKS_KEK_BYTES];
    uint8_t sum[SUM_BYTES];
};

struct sealed_head {
    char line[LINE_BYTES];
    uint8_t kind;
    uint32_t memory_kib;
    uint32_t passes;
    uint32_t lanes;
    uint8_t salt[VKS_STRETCH_SALT_BYTES];
};

struct sealed_file {
    struct sealed_head head;
    uint8_t sealed[VKS_KEK_BYTES + VKS_ONE_TIME_TAG_BYTES];
    uint8_t rest[VKS_ROOT_BLOB_BYTES_MAX + SUM_BYTES]; /* the blob, and right behind it the sum */
};

enum {
    SEALED_BYTES = sizeof(struct sealed_file) - VKS_ROOT_BLOB_BYTES_MAX, /* of a file without blob */
};

/* Lives in the arena: one form of it holds a KEK. */
union file {
    char line[LINE_BYTES];
    struct clear_file clear;
    struct sealed_file sealed;
};

_Static_assert(sizeof(clear_line) == LINE_BYTES + 1 && sizeof(sealed_line) == LINE_BYTES + 1, "lines of one length");
_Static_assert(sizeof(struct sealed_head) == 64 && SEALED_BYTES == 144, "no padding in the file");

/* 1 whole, 0 at the end of the file, or a negative errno. */
static int read_whole(int fd, void *bytes, size_t size_bytes)
{
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t part = pread(fd, (uint8_t *)bytes + done, size_bytes - done, (off_t)done);

        if (part < 0 && errno != EINTR)
            return -errno;
        if (part == 0)
            return 0;
        done += part > 0 ? (size_t)part : 0;
    }
    return 1;
}

static int write_whole(int fd, const void *bytes, size_t size_bytes)
{
    size_t done = 0;

    while (done < size_bytes) {
        ssize_t part = pwrite(fd, (const uint8_t *)bytes + done, size_bytes - done, (off_t)done);

        if (part < 0 && errno != EINTR)
            return -errno;
        done += part > 0 ? (size_t)part : 0;
    }
    return fsync(fd) == 0 ? 0 : -errno;
}

static int sum_of(const void *file, size_t size_bytes, uint8_t sum[SUM_BYTES])
{
    return EVP_Digest(file, size_bytes - SUM_BYTES, sum, NULL, vks_hash_md(VKS_HASH_SHA256), NULL) == 1 ? 0 : -EIO;
}

static int check_sum(const union file *file, size_t size_bytes)
{
    uint8_t sum[SUM_BYTES];

    if (sum_of(file, size_bytes, sum))
        return -EIO;
    return memcmp(sum, (const uint8_t *)file + size_bytes - SUM_BYTES, SUM_BYTES) == 0 ? 0 : -EBADMSG;
}

/* A passphrase is one line: a file of it mostly ends in a line end that nobody typed. */
static size_t line_bytes(const struct vks_root_secret_input *secret)
{
    const uint8_t *end = memchr(secret->bytes, '\n', secret->size_bytes);

    if (end == NULL)
        return secret->size_bytes;
    return (size_t)(end - secret->bytes) - (end > secret->bytes && end[-1] == '\r' ? 1 : 0);
}

/* The bytes that the seal's key is derived from: the secret itself, or what Argon2id makes of it. In the arena. */
static int unlock_bytes(const struct sealed_head *head, const struct vks_root_secret_input *secret, uint8_t **bytes,
                        size_t *size_bytes)
{
    struct vks_stretch_cost cost = {le32toh(head->memory_kib), le32toh(head->passes), le32toh(head->lanes)};
    bool stretched = head->kind == VKS_ROOT_PASSPHRASE;
    int error = 0;

    *size_bytes = stretched ? VKS_STRETCH_KEY_BYTES : secret->size_bytes;
    *bytes = vks_secret_alloc(*size_bytes);
    if (*bytes == NULL)
        return -ENOMEM;
    if (stretched)
        error = vks_stretch(secret->bytes, line_bytes(secret), head->salt, &cost, *bytes);
    else
        memcpy(*bytes, secret->bytes, *size_bytes);
    if (error) {
        vks_secret_free(*bytes);
        *bytes = NULL;
    }
    return error;
}

static struct vks_one_time_key seal_key(const struct sealed_head *head, const uint8_t *bytes, size_t size_bytes)
{
    return (struct vks_one_time_key){{bytes, size_bytes}, {head->salt, sizeof(head->salt)}, {label, sizeof(label) - 1}};
}

static int open_sealed(const struct sealed_file *file, const struct vks_root_secret_input *secret,
                       uint8_t kek[VKS_KEK_BYTES])
{
    uint8_t *bytes = NULL;
    struct vks_one_time_key key;
    size_t size_bytes;
    int error;

    if (secret->bytes == NULL)
        return -ENOKEY;
    error = unlock_bytes(&file->head, secret, &bytes, &size_bytes);
    if (error)
        return error;
    key = seal_key(&file->head, bytes, size_bytes);
    error = vks_one_time_open(&key, (struct vks_one_time_part){&file->head, sizeof(file->head)},
                              (struct vks_one_time_part){file->sealed, sizeof(file->sealed)}, kek);
    vks_secret_free(bytes);
    return error == -EBADMSG ? -EKEYREJECTED : error;
}

static bool is_sealed_kind(uint32_t kind, uint32_t blob_bytes)
{
    if (kind == VKS_ROOT_TPM)
        return blob_bytes > 0 && blob_bytes <= VKS_ROOT_BLOB_BYTES_MAX;
    if (kind == VKS_ROOT_HSM)
        return blob_bytes == VKS_ROOT_HSM_BLOB_BYTES;
    return (kind == VKS_ROOT_PASSPHRASE || kind == VKS_ROOT_CREDENTIAL) && blob_bytes == 0;
}

static int parse(const union file *file, size_t size_bytes, const struct vks_root_secret_input *secret, uint32_t *kind,
                 uint8_t kek[VKS_KEK_BYTES])
{
    int error = check_sum(file, size_bytes);

    if (size_bytes == sizeof(file->clear) && memcmp(file->line, clear_line, LINE_BYTES) == 0) {
        *kind = VKS_ROOT_FILE;
        if (!error)
            memcpy(kek, file->clear.kek, VKS_KEK_BYTES);
        return error;
    }
    if (size_bytes < SEALED_BYTES || memcmp(file->line, sealed_line, LINE_BYTES) != 0)
        return -EINVAL;
    if (error)
        return error;
    if (!is_sealed_kind(file->sealed.head.kind, (uint32_t)(size_bytes - SEALED_BYTES)))
        return -EINVAL;
    *kind = file->sealed.head.kind;
    return open_sealed(&file->sealed, secret, kek);
}

int vks_root_file_read(int fd, const struct vks_root_secret_input *secret, uint32_t *kind, uint8_t kek[VKS_KEK_BYTES])
{
    union file *file;
    struct stat st;
    int error;

    if (vks_file_status(fd, &st) != 0)
        return -errno;
    if (st.st_size == 0)
        return -ENODATA;
    if (st.st_size != sizeof(file->clear) && (st.st_size < SEALED_BYTES || st.st_size > (off_t)sizeof(file->sealed)))
        return -EINVAL;
    file = vks_secret_alloc(sizeof(*file));
    if (file == NULL)
        return -ENOMEM;
    error = read_whole(fd, file, (size_t)st.st_size);
    error = error > 0 ? parse(file, (size_t)st.st_size, secret, kind, kek) : error ? error : -EINVAL;
    vks_secret_free(file);
    ERR_clear_error();
    return error;
}

static int make_clear(struct clear_file *file, const uint8_t kek[VKS_KEK_BYTES])
{
    memcpy(file->line, clear_line, LINE_BYTES);
    memcpy(file->kek, kek, VKS_KEK_BYTES);
    return sum_of(file, sizeof(*file), file->sum);
}

static int make_sealed(struct sealed_file *file, uint32_t kind, const struct vks_root_secret_input *secret,
                       const struct vks_root_blob *blob, const uint8_t kek[VKS_KEK_BYTES])
{
    bool stretched = kind == VKS_ROOT_PASSPHRASE;
    size_t min_bytes = stretched ? VKS_PASSPHRASE_BYTES_MIN : VKS_CREDENTIAL_BYTES_MIN;
    uint8_t *bytes = NULL;
    struct vks_one_time_key key;
    size_t size_bytes;
    int error;

    if (!is_sealed_kind(kind, blob->size_bytes))
        return -EINVAL;
    if (secret->bytes == NULL)
        return -ENOKEY;
    if ((stretched ? line_bytes(secret) : secret->size_bytes) < min_bytes)
        return -EDOM;
    memcpy(file->head.line, sealed_line, LINE_BYTES);
    file->head.kind = (uint8_t)kind;
    file->head.memory_kib = htole32(stretched ? VKS_STRETCH_MEMORY_KIB : 0);
    file->head.passes = htole32(stretched ? VKS_STRETCH_PASSES : 0);
    file->head.lanes = htole32(stretched ? VKS_STRETCH_LANES : 0);
    if (RAND_bytes(file->head.salt, sizeof(file->head.salt)) != 1)
        return -EIO;
    error = unlock_bytes(&file->head, secret, &bytes, &size_bytes);
    if (error)
        return error;
    key = seal_key(&file->head, bytes, size_bytes);
    error = vks_one_time_seal(&key, (struct vks_one_time_part){&file->head, sizeof(file->head)},
                              (struct vks_one_time_part){kek, VKS_KEK_BYTES}, file->sealed);
    vks_secret_free(bytes);
    if (error)
        return error;
    memcpy(file->rest, blob->bytes, blob->size_bytes);
    return sum_of(file, SEALED_BYTES + blob->size_bytes, file->rest + blob->size_bytes);
}

int vks_root_file_write(int fd, uint32_t kind, const struct vks_root_secret_input *secret,
                        const struct vks_root_blob *blob, const uint8_t kek[VKS_KEK_BYTES])
{
    size_t size_bytes = kind == VKS_ROOT_FILE ? sizeof(struct clear_file) : SEALED_BYTES + blob->size_bytes;
    union file *file;
    struct stat st;
    int error;

    if (vks_file_status(fd, &st) != 0)
        return -errno;
    if (st.st_size != 0)
        return -EEXIST;
    if (kind == VKS_ROOT_FILE && blob->size_bytes)
        return -EINVAL;
    file = vks_secret_alloc(sizeof(*file));
    if (file == NULL)
        return -ENOMEM;
    error = kind == VKS_ROOT_FILE ? make_clear(&file->clear, kek) : make_sealed(&file->sealed, kind, secret, blob, kek);
    if (!error) {
        error = write_whole(fd, file, size_bytes);
        /* Half a KEK must not look like one to the next start; if this fails too, its checksum does not fit. */
        if (error)
            (void)!ftruncate(fd, 0);
    }
    vks_secret_free(file);
    ERR_clear_error();
    return error;
}
