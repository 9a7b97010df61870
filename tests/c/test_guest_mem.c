/* SPDX-License-Identifier: Apache-2.0 */
/* Guest memory against a lying front-end: no wrong region is mapped, no wrong range is found. */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include "check.h"
#include "guest_mem.h"

#define PAGE UINT64_C(4096)

static int make_fd(off_t size_bytes)
{
    int fd = memfd_create("guest", MFD_CLOEXEC);

    CHECK("memfd", fd >= 0 && ftruncate(fd, size_bytes) == 0);
    return fd;
}

static void test_tables(void)
{
    static const struct {
        const char *name;
        struct vks_worker_mem_table table;
        int want;
    } cases[] = {
        {"no region", {0, 0, {{0}}}, 0},
        {"whole file", {1, 0, {{0x1000, 0x7000, 4 * PAGE, 0}}}, 0},
        {"offset inside a page", {1, 0, {{0x1000, 0x7000, 3 * PAGE, 100}}}, 0},
        {"last byte of the file", {1, 0, {{0x1000, 0x7000, 1, 4 * PAGE - 1}}}, 0},
        {"too many regions", {33, 0, {{0}}}, -EINVAL},
        {"huge count", {UINT32_MAX, 0, {{0}}}, -EINVAL},
        {"empty region", {1, 0, {{0x1000, 0x7000, 0, 0}}}, -EINVAL},
        {"gpa wraps", {1, 0, {{UINT64_MAX - PAGE + 2, 0x7000, PAGE, 0}}}, -EINVAL},
        {"gpa ends at the top", {1, 0, {{UINT64_MAX - PAGE + 1, 0x7000, PAGE, 0}}}, 0},
        {"uva wraps", {1, 0, {{0x1000, UINT64_MAX - PAGE + 2, PAGE, 0}}}, -EINVAL},
        {"one byte longer than the file", {1, 0, {{0x1000, 0x7000, 4 * PAGE + 1, 0}}}, -EBADF},
        {"offset beyond the file", {1, 0, {{0x1000, 0x7000, 1, 4 * PAGE}}}, -EBADF},
        {"size and offset wrap", {1, 0, {{0x1000, 0x7000, PAGE, UINT64_MAX - PAGE + 1}}}, -EINVAL},
        {"size above every file", {1, 0, {{0, 0, INT64_MAX, 1}}}, -EINVAL},
        {"size above the signed range", {1, 0, {{0, 0, UINT64_MAX, 0}}}, -EINVAL},
        {"same gpa twice", {2, 0, {{0x1000, 0x7000, PAGE, 0}, {0x1000, 0x9000, PAGE, 0}}}, -EINVAL},
        {"gpa overlap by a byte", {2, 0, {{0x1000, 0x7000, PAGE, 0}, {0x1fff, 0x9000, PAGE, 0}}}, -EINVAL},
        {"gpa overlap from below", {2, 0, {{0x1fff, 0x7000, PAGE, 0}, {0x1000, 0x9000, PAGE, 0}}}, -EINVAL},
        {"neighbours", {2, 0, {{0x1000, 0x7000, PAGE, 0}, {0x2000, 0x8000, PAGE, PAGE}}}, 0},
    };
    struct vks_guest_mem mem = {0};
    int fd = make_fd((off_t)(4 * PAGE));
    int fds[2] = {fd, fd};

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_EQUAL(cases[i].name, vks_guest_mem_map(&mem, &cases[i].table, fds), cases[i].want);
        CHECK_EQUAL(cases[i].name, mem.region_count, cases[i].want ? 0 : cases[i].table.region_count);
        for (uint32_t j = 0; j < mem.region_count; j++) {
            mem.region[j].host[0] = 1;
            mem.region[j].host[mem.region[j].size_bytes - 1] = 2;
        }
        vks_guest_mem_unmap(&mem);
    }
    close(fd);
}

static void test_wrong_files(void)
{
    struct vks_worker_mem_table table = {1, 0, {{0x1000, 0x7000, 1, 0}}};
    struct vks_guest_mem mem = {0};
    int pipes[2], sealed = memfd_create("sealed", MFD_CLOEXEC | MFD_ALLOW_SEALING);

    CHECK("pipe", pipe(pipes) == 0);
    CHECK_EQUAL("a pipe", vks_guest_mem_map(&mem, &table, pipes), -EBADF);
    CHECK_EQUAL("a closed descriptor", vks_guest_mem_map(&mem, &table, &(int){-1}), -EBADF);
    CHECK("sealed", ftruncate(sealed, 4096) == 0 && fcntl(sealed, F_ADD_SEALS, F_SEAL_WRITE) == 0);
    CHECK_EQUAL("memory we may not write", vks_guest_mem_map(&mem, &table, &sealed), -EPERM);
    CHECK_EQUAL("nothing is left mapped", mem.region_count, 0);
    close(sealed);
    close(pipes[0]);
    close(pipes[1]);
}

static void test_ranges(void)
{
    static const struct {
        const char *name;
        uint64_t gpa;
        uint32_t size_bytes;
        int64_t want; /* offset in the file, -1: none */
    } cases[] = {
        {"first byte", 0x1000, 1, 0},
        {"whole region", 0x1000, 4096, 0},
        {"last byte", 0x1fff, 1, 4095},
        {"second region", 0x8000, 4096, 4196},
        {"nothing", 0x1000, 0, -1},
        {"one byte more", 0x1000, 4097, -1},
        {"one byte past the region", 0x1fff, 2, -1},
        {"just behind", 0x2000, 1, -1},
        {"just before", 0xfff, 1, -1},
        {"begins before", 0xfff, 2, -1},
        {"between the regions", 0x5000, 1, -1},
        {"address wraps", UINT64_MAX, 2, -1},
        {"size wraps to the start", UINT64_MAX - 0xfff, UINT32_MAX, -1},
        {"largest size", 0x1000, UINT32_MAX, -1},
    };
    struct vks_worker_mem_table table = {2, 0, {{0x1000, 0x70001000, 4096, 0}, {0x8000, 0x70008000, 4096, 4196}}};
    struct vks_guest_mem mem = {0};
    int fd = make_fd(12288), fds[2] = {fd, fd};

    CHECK_EQUAL("map", vks_guest_mem_map(&mem, &table, fds), 0);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint8_t *by_gpa = vks_guest_range(&mem, cases[i].gpa, cases[i].size_bytes);
        uint8_t *by_uva = vks_guest_range_uva(&mem, cases[i].gpa + 0x70000000, cases[i].size_bytes);

        CHECK_EQUAL(cases[i].name, by_gpa != NULL, cases[i].want >= 0);
        if (by_gpa) {
            uint8_t byte = (uint8_t)(i + 1), in_file;

            CHECK_EQUAL(cases[i].name, by_uva == by_gpa, 1);
            *by_gpa = byte;
            CHECK_EQUAL(cases[i].name, pread(fd, &in_file, 1, cases[i].want), 1);
            CHECK_EQUAL(cases[i].name, in_file, byte);
        }
    }
    CHECK("wrapping uva", vks_guest_range_uva(&mem, UINT64_MAX, 2) == NULL);
    vks_guest_mem_unmap(&mem);
    CHECK("an empty table finds nothing", vks_guest_range(&mem, 0x1000, 1) == NULL);
    close(fd);
}

int main(void)
{
    test_tables();
    test_wrong_files();
    test_ranges();
    return 0;
}
