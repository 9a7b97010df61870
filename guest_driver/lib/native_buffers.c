/* SPDX-License-Identifier: BSD-3-Clause */
/* Sealed shared memory and the books on it. */
#define _GNU_SOURCE /* memfd_create */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "native_buffers.h"

#define PAGE_BYTES 4096

static int make_file(size_t size_bytes, int *fd)
{
    int error = 0;

    *fd = memfd_create("vks", MFD_CLOEXEC | MFD_ALLOW_SEALING);
    if (*fd < 0)
        return -errno;
    /* A file that is cut under a mapping kills whoever touches it, on either side. */
    if (ftruncate(*fd, (off_t)size_bytes) || fcntl(*fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL))
        error = -errno;
    if (error) {
        close(*fd);
        *fd = -1;
    }
    return error;
}

int native_buffers_open(struct native_buffers *buffers, size_t ring_bytes)
{
    size_t slots_offset = (ring_bytes + PAGE_BYTES - 1) / PAGE_BYTES * PAGE_BYTES;
    size_t size_bytes =
        slots_offset + (size_t)NATIVE_SLOTS * NATIVE_SLOT_BYTES + (size_t)NATIVE_UNITS * NATIVE_UNIT_BYTES;
    int error;

    *buffers = (struct native_buffers){.fd = -1, .slots_offset = slots_offset, .size_bytes = size_bytes};
    error = make_file(size_bytes, &buffers->fd);
    if (error)
        return error;
    buffers->base = mmap(NULL, size_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, buffers->fd, 0);
    if (buffers->base == MAP_FAILED) {
        error = -errno;
        buffers->base = NULL;
    }
    /* A child that could write there would answer and ask in its parent's name. */
    if (!error &&
        (madvise(buffers->base, size_bytes, MADV_DONTFORK) || madvise(buffers->base, size_bytes, MADV_DONTDUMP)))
        error = -errno;
    if (error) {
        native_buffers_close(buffers, false);
        return error;
    }
    for (uint16_t slot = 0; slot < NATIVE_SLOTS; slot++)
        buffers->free_slots[slot] = (uint16_t)(NATIVE_SLOTS - 1 - slot);
    buffers->free_count = NATIVE_SLOTS;
    return 0;
}

void native_buffers_close(struct native_buffers *buffers, bool is_child)
{
    if (buffers->base && !is_child)
        munmap(buffers->base, buffers->size_bytes);
    if (buffers->fd >= 0)
        close(buffers->fd);
    buffers->base = NULL;
    buffers->fd = -1;
}

/* The first of so many free units in a row, or -EAGAIN. */
static int find_units(const struct native_buffers *buffers, size_t count)
{
    size_t found = 0;

    for (int unit = 0; unit < NATIVE_UNITS; unit++) {
        found = buffers->unit_is_taken[unit] ? 0 : found + 1;
        if (found == count)
            return unit + 1 - (int)count;
    }
    return -EAGAIN;
}

int native_buffers_take(struct native_buffers *buffers, size_t size_bytes, struct native_place *place)
{
    size_t count = size_bytes <= NATIVE_SLOT_BYTES ? 0 : (size_bytes + NATIVE_UNIT_BYTES - 1) / NATIVE_UNIT_BYTES;
    size_t units_offset = buffers->slots_offset + (size_t)NATIVE_SLOTS * NATIVE_SLOT_BYTES;
    int unit = 0;

    if (buffers->free_count == 0)
        return -EAGAIN;
    if (count)
        unit = find_units(buffers, count);
    if (unit < 0)
        return unit;
    *place = (struct native_place){
        .slot = buffers->free_slots[--buffers->free_count], .unit = (uint16_t)unit, .unit_count = (uint16_t)count};
    place->offset = count ? units_offset + (size_t)unit * NATIVE_UNIT_BYTES
                          : buffers->slots_offset + (size_t)place->slot * NATIVE_SLOT_BYTES;
    memset(&buffers->unit_is_taken[unit], 1, count);
    return 0;
}

void native_buffers_give(struct native_buffers *buffers, const struct native_place *place)
{
    memset(&buffers->unit_is_taken[place->unit], 0, place->unit_count);
    buffers->free_slots[buffers->free_count++] = place->slot;
}
