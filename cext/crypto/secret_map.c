/* SPDX-License-Identifier: Apache-2.0 */
/* Secret mappings. Knows the kernel's ways to hide memory; must not know what is kept in them. */
#include "secret_map.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "file_status.h"

enum {
    SECRETMEM_MAGIC = 0x5345434d, /* linux/magic.h */
    MEMFD_SEALS = F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL,
};

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

static size_t round_to_pages(size_t size_bytes)
{
    size_t page = page_bytes();

    return (size_bytes + page - 1) / page * page;
}

/* Address space with nothing behind it; what is mapped into its middle keeps one guard page on each side. */
static uint8_t *reserve(size_t size_bytes)
{
    void *base =
        mmap(NULL, size_bytes + 2 * page_bytes(), PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

    return base == MAP_FAILED ? NULL : (uint8_t *)base + page_bytes();
}

static void release(uint8_t *bytes, size_t size_bytes)
{
    munmap(bytes - page_bytes(), size_bytes + 2 * page_bytes());
}

static int map_into(uint8_t *bytes, size_t size_bytes, int fd, int flags, enum vks_secret_memory memory)
{
    if (mmap(bytes, size_bytes, PROT_READ | PROT_WRITE, flags | MAP_FIXED, fd, 0) == MAP_FAILED)
        return -errno;
    /* On fault: locking must not touch an arena of which only the first pages are ever used. */
    if (memory == VKS_SECRET_MEMORY_MLOCK && mlock2(bytes, size_bytes, MLOCK_ONFAULT) != 0)
        return -errno;
    if (madvise(bytes, size_bytes, MADV_DONTDUMP) != 0 || madvise(bytes, size_bytes, MADV_DONTFORK) != 0)
        return -errno;
    return 0;
}

static int secret_fd(size_t size_bytes)
{
    /* The manual says FD_CLOEXEC, which the kernel answers with EINVAL: mm/secretmem.c takes O_CLOEXEC. */
    int fd = (int)syscall(SYS_memfd_secret, O_CLOEXEC);

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size_bytes) != 0) {
        int error = -errno;

        close(fd);
        return error;
    }
    return fd;
}

static int plain_fd(size_t size_bytes)
{
    int fd = memfd_create("vks-keys", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    if (fd < 0)
        return -errno;
    if (ftruncate(fd, (off_t)size_bytes) != 0 || fcntl(fd, F_ADD_SEALS, MEMFD_SEALS) != 0) {
        int error = -errno;

        close(fd);
        return error;
    }
    return fd;
}

int vks_secret_map_create_fd(struct vks_secret_map *map, size_t size_bytes, int *fd)
{
    static int (*const make[])(size_t) = {secret_fd, plain_fd};
    int error = -ENOMEM;

    memset(map, 0, sizeof(*map));
    *fd = -1;
    if (size_bytes == 0 || size_bytes > SIZE_MAX / 4)
        return -EINVAL;
    size_bytes = round_to_pages(size_bytes);
    for (size_t i = 0; i < sizeof(make) / sizeof(make[0]); i++) {
        enum vks_secret_memory memory = i == 0 ? VKS_SECRET_MEMORY_MEMFD : VKS_SECRET_MEMORY_MLOCK;
        uint8_t *bytes;

        *fd = make[i](size_bytes);
        if (*fd < 0) {
            error = *fd;
            *fd = -1;
            continue;
        }
        bytes = reserve(size_bytes);
        error = bytes ? map_into(bytes, size_bytes, *fd, MAP_SHARED, memory) : -ENOMEM;
        if (error == 0) {
            *map = (struct vks_secret_map){bytes, size_bytes, memory};
            return 0;
        }
        if (bytes)
            release(bytes, size_bytes);
        close(*fd);
        *fd = -1;
    }
    return error;
}

int vks_secret_map_create(struct vks_secret_map *map, size_t size_bytes)
{
    uint8_t *bytes;
    int fd;
    int error = vks_secret_map_create_fd(map, size_bytes, &fd);

    if (error)
        return error;
    close(fd);
    if (map->memory == VKS_SECRET_MEMORY_MEMFD)
        return 0;
    /* Nobody else maps this one: anonymous memory, which has no descriptor to reopen through /proc. */
    bytes = map->bytes;
    error = map_into(bytes, map->size_bytes, -1, MAP_PRIVATE | MAP_ANONYMOUS, map->memory);
    if (error)
        vks_secret_map_close(map);
    return error;
}

/* What a reader may rely on: the size is exact and stays. Secret memory never shrinks by itself, a memfd by its seals.
 */
static int check_fd(int fd, size_t size_bytes, enum vks_secret_memory memory)
{
    struct statfs fs;
    struct stat st;

    if (vks_file_status(fd, &st) != 0 || fstatfs(fd, &fs) != 0)
        return -errno;
    if (st.st_size < 0 || (uint64_t)st.st_size != size_bytes)
        return -EPROTO;
    if (memory == VKS_SECRET_MEMORY_MEMFD)
        return fs.f_type == SECRETMEM_MAGIC ? 0 : -EPROTO;
    if (memory == VKS_SECRET_MEMORY_MLOCK) {
        int seals = fcntl(fd, F_GET_SEALS);

        return seals >= 0 && (seals & F_SEAL_SHRINK) ? 0 : -EPROTO;
    }
    return -EPROTO;
}

int vks_secret_map_open(struct vks_secret_map *map, int fd, size_t size_bytes, enum vks_secret_memory memory)
{
    uint8_t *bytes;
    int error;

    memset(map, 0, sizeof(*map));
    if (size_bytes == 0 || size_bytes > SIZE_MAX / 4 || size_bytes % page_bytes() != 0)
        return -EPROTO;
    error = check_fd(fd, size_bytes, memory);
    if (error)
        return error;
    bytes = reserve(size_bytes);
    if (bytes == NULL)
        return -ENOMEM;
    error = map_into(bytes, size_bytes, fd, MAP_SHARED, memory);
    if (error) {
        release(bytes, size_bytes);
        return error;
    }
    *map = (struct vks_secret_map){bytes, size_bytes, memory};
    return 0;
}

void vks_secret_map_close(struct vks_secret_map *map)
{
    if (map->bytes)
        release(map->bytes, map->size_bytes);
    memset(map, 0, sizeof(*map));
}

void vks_secret_map_wipe(struct vks_secret_map *map)
{
    if (map->bytes)
        explicit_bzero(map->bytes, map->size_bytes);
    vks_secret_map_close(map);
}
