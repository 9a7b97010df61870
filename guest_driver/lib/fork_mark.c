/* SPDX-License-Identifier: BSD-3-Clause */
/* A load, where getpid() is a system call, and which no way to make a process goes around but vfork(). */
#define _GNU_SOURCE /* MADV_WIPEONFORK */
#include <errno.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fork_mark.h"

static size_t page_bytes(void)
{
    return (size_t)sysconf(_SC_PAGESIZE);
}

int fork_mark_make(struct fork_mark *mark)
{
    void *page = mmap(NULL, page_bytes(), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    int error;

    mark->page = NULL;
    if (page == MAP_FAILED)
        return -errno;
    if (madvise(page, page_bytes(), MADV_WIPEONFORK)) {
        error = -errno;
        munmap(page, page_bytes());
        return error;
    }
    mark->page = page;
    *mark->page = 1;
    return 0;
}

bool fork_mark_is_child(const struct fork_mark *mark)
{
    return *mark->page == 0;
}

void fork_mark_remove(struct fork_mark *mark)
{
    if (mark->page)
        munmap((void *)(uintptr_t)mark->page, page_bytes());
    mark->page = NULL;
}
