/* SPDX-License-Identifier: Apache-2.0 */
/* The file root. Knows the KEK and its file; must not know what it seals. */
#include "root.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rand.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "algorithm.h"
#include "confinement.h"
#include "file_status.h"
#include "secret_arena.h"

enum {
    SUM_BYTES = 32,
};

static const char line[] = "vmm-keystore kek 1\n";

struct kek_file {
    char line[sizeof(line) - 1];
    uint8_t kek[VKS_KEK_BYTES];
    uint8_t sum[SUM_BYTES];
};

static struct kek_file *loaded; /* in the arena */

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

static int sum_of(const struct kek_file *file, uint8_t sum[SUM_BYTES])
{
    return EVP_Digest(file, offsetof(struct kek_file, sum), sum, NULL, vks_hash_md(VKS_HASH_SHA256), NULL) == 1 ? 0
                                                                                                                : -EIO;
}

static int create_file(int fd, off_t present_bytes, struct kek_file *file)
{
    int error;

    if (present_bytes != 0)
        return -EEXIST;
    memcpy(file->line, line, sizeof(file->line));
    if (RAND_priv_bytes(file->kek, sizeof(file->kek)) != 1 || sum_of(file, file->sum))
        return -EIO;
    error = write_whole(fd, file, sizeof(*file));
    /* Half a KEK must not look like one to the next start; if this fails too, its checksum does not fit. */
    if (error && ftruncate(fd, 0) != 0)
        return error;
    return error;
}

static int read_file(int fd, off_t present_bytes, struct kek_file *file)
{
    uint8_t sum[SUM_BYTES];
    int whole;

    if (present_bytes == 0)
        return -ENODATA;
    if (present_bytes != sizeof(*file))
        return -EINVAL;
    whole = read_whole(fd, file, sizeof(*file));
    if (whole <= 0)
        return whole ? whole : -EINVAL;
    if (memcmp(file->line, line, sizeof(file->line)) != 0)
        return -EINVAL;
    if (sum_of(file, sum))
        return -EIO;
    return memcmp(sum, file->sum, sizeof(sum)) == 0 ? 0 : -EBADMSG;
}

int vks_root_open_file(int fd, bool create)
{
    struct kek_file *file;
    struct stat st;
    int error;

    if (loaded)
        return -EALREADY;
    if (vks_file_status(fd, &st) != 0)
        return -errno;
    if (!S_ISREG(st.st_mode) || (st.st_mode & 077) != 0 || st.st_uid != vks_confinement_owner())
        return -EACCES;
    file = vks_secret_alloc(sizeof(*file));
    if (file == NULL)
        return -ENOMEM;
    error = create ? create_file(fd, st.st_size, file) : read_file(fd, st.st_size, file);
    ERR_clear_error();
    if (error) {
        vks_secret_free(file);
        return error;
    }
    loaded = file;
    return 0;
}

const uint8_t *vks_root_kek(void)
{
    return loaded ? loaded->kek : NULL;
}
