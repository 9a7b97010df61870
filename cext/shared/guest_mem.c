/* SPDX-License-Identifier: Apache-2.0 */
/* Mapping and looking up guest memory. Every number here comes from a front-end that may lie. */
#include "guest_mem.h"

#include <errno.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_status.h"

static int wraps(uint64_t start, uint64_t size_bytes)
{
    return size_bytes == 0 || size_bytes - 1 > UINT64_MAX - start;
}

/* Neither range wraps. */
static int overlaps(uint64_t a, uint64_t a_bytes, uint64_t b, uint64_t b_bytes)
{
    return a < b ? b - a < a_bytes : a - b < b_bytes;
}

static int region_check(const struct vks_worker_mem_table *table, uint32_t index)
{
    const struct vks_ipc_region *region = &table->regions[index];

    if (wraps(region->gpa, region->size_bytes) || wraps(region->uva, region->size_bytes) ||
        region->size_bytes > INT64_MAX || region->mmap_offset > INT64_MAX - region->size_bytes)
        return -EINVAL;
    /* An address with two meanings would make every range check depend on the order of the table. */
    for (uint32_t i = 0; i < index; i++)
        if (overlaps(region->gpa, region->size_bytes, table->regions[i].gpa, table->regions[i].size_bytes))
            return -EINVAL;
    return 0;
}

static int region_map(struct vks_region *region, const struct vks_ipc_region *from, int fd)
{
    struct stat stat;
    uint64_t grain = (uint64_t)sysconf(_SC_PAGESIZE);
    uint64_t offset, lead;

    if (vks_file_status(fd, &stat))
        return -errno;
    if (!S_ISREG(stat.st_mode) || stat.st_size < 0 || (uint64_t)stat.st_size < from->mmap_offset ||
        (uint64_t)stat.st_size - from->mmap_offset < from->size_bytes)
        return -EBADF;
    /* hugetlbfs maps and unmaps in its own page size only, and says so in st_blksize. */
    if ((uint64_t)stat.st_blksize > grain && (stat.st_blksize & (stat.st_blksize - 1)) == 0)
        grain = (uint64_t)stat.st_blksize;
    lead = from->mmap_offset & (grain - 1);
    offset = from->mmap_offset - lead;
    region->map_bytes = (size_t)((from->size_bytes + lead + grain - 1) & ~(grain - 1));
    region->map = mmap(NULL, region->map_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, (off_t)offset);
    if (region->map == MAP_FAILED)
        return -errno;
    (void)madvise(region->map, region->map_bytes, MADV_DONTDUMP);
    region->gpa = from->gpa;
    region->uva = from->uva;
    region->size_bytes = from->size_bytes;
    region->host = (uint8_t *)region->map + lead;
    return 0;
}

int vks_guest_mem_map(struct vks_guest_mem *mem, const struct vks_worker_mem_table *table, const int *fds)
{
    mem->region_count = 0;
    if (table->region_count > VKS_IPC_REGIONS_MAX)
        return -EINVAL;
    for (uint32_t i = 0; i < table->region_count; i++) {
        int error = region_check(table, i);

        if (!error)
            error = region_map(&mem->region[i], &table->regions[i], fds[i]);
        if (error) {
            vks_guest_mem_unmap(mem);
            return error;
        }
        mem->region_count = i + 1;
    }
    return 0;
}

void vks_guest_mem_unmap(struct vks_guest_mem *mem)
{
    for (uint32_t i = 0; i < mem->region_count; i++)
        munmap(mem->region[i].map, mem->region[i].map_bytes);
    mem->region_count = 0;
}

static uint8_t *region_range(const struct vks_region *region, uint64_t start, uint64_t address, uint32_t size_bytes)
{
    uint64_t offset = address - start;

    /* Subtract, never add: address + size_bytes may wrap, this cannot. */
    if (address >= start && offset < region->size_bytes && size_bytes <= region->size_bytes - offset)
        return region->host + offset;
    return NULL;
}

uint8_t *vks_guest_range(const struct vks_guest_mem *mem, uint64_t gpa, uint32_t size_bytes)
{
    uint8_t *range = NULL;

    for (uint32_t i = 0; size_bytes && !range && i < mem->region_count; i++)
        range = region_range(&mem->region[i], mem->region[i].gpa, gpa, size_bytes);
    return range;
}

uint8_t *vks_guest_range_uva(const struct vks_guest_mem *mem, uint64_t uva, uint32_t size_bytes)
{
    uint8_t *range = NULL;

    for (uint32_t i = 0; size_bytes && !range && i < mem->region_count; i++)
        range = region_range(&mem->region[i], mem->region[i].uva, uva, size_bytes);
    return range;
}
