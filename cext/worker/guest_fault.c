/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Only fast threads touch guest memory, while nobody changes the table: the handler runs on the one that met the fault,
 * and may look at it. What it leaves there is every lane's: none of them may take it for the guest's.
 */
#define _GNU_SOURCE
#include "guest_fault.h"

#include <errno.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

static const struct vks_guest_mem *guarded;
static atomic_bool seen;

static void handle(int signal_number, siginfo_t *info, void *context)
{
    (void)signal_number;
    (void)context;
    for (uint32_t i = 0; i < guarded->region_count; i++) {
        const struct vks_region *region = &guarded->region[i];

        if ((uintptr_t)info->si_addr - (uintptr_t)region->map >= region->map_bytes)
            continue;
        if (mmap(region->map, region->map_bytes, PROT_READ | PROT_WRITE,
                 MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED | MAP_NORESERVE, -1, 0) == MAP_FAILED)
            break;
        seen = true;
        return;
    }
    /* Not the front-end's doing: let it happen again, fatally. */
    signal(SIGBUS, SIG_DFL);
}

int guest_fault_guard(const struct vks_guest_mem *mem)
{
    struct sigaction action = {.sa_sigaction = handle, .sa_flags = SA_SIGINFO};

    guarded = mem;
    return sigaction(SIGBUS, &action, NULL) ? -errno : 0;
}

bool guest_fault_seen(void)
{
    return seen;
}

void guest_fault_forget(void)
{
    seen = false;
}
