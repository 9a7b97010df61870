/* SPDX-License-Identifier: Apache-2.0 */
/* Only the fast lane touches guest memory, so the handler runs on its thread and may look at its table. */
#define _GNU_SOURCE
#include "guest_fault.h"

#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/mman.h>

static const struct vks_guest_mem *guarded;
static volatile sig_atomic_t seen;

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
        seen = 1;
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
    return seen != 0;
}

void guest_fault_forget(void)
{
    seen = 0;
}
