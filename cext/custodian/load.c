/* SPDX-License-Identifier: Apache-2.0 */
/* From sealed blobs to a worker's page. Knows lengths and the order of things; must not keep anything. */
#include "load.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "channels.h"
#include "ipc_socket.h"
#include "key_kind.h"
#include "key_slot.h"
#include "load_walk.h"
#include "seal.h"
#include "secret_map.h"

/* Size of the page that holds all of them; every length is checked here, before anything is unsealed. */
static int measure(uint32_t count, struct vks_load_walk walk, size_t *page_bytes)
{
    struct vks_custodian_load_entry entry;
    const uint8_t *sealed;

    *page_bytes = 0;
    if (count == 0)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        if (!vks_load_walk_next(&walk, &entry, &sealed))
            return -EPROTO;
        if (vks_key_kind_find(entry.type & ~(uint32_t)VKS_TYPE_F_TOKEN) == NULL)
            return -EINVAL;
        *page_bytes += vks_key_slot_bytes(entry.sealed_bytes - VKS_SEAL_OVERHEAD);
    }
    return walk.left_bytes == 0 ? 0 : -EPROTO;
}

static int fill(const struct vks_secret_map *page, uint32_t count, struct vks_load_walk walk)
{
    struct vks_custodian_load_entry entry;
    const uint8_t *sealed;
    size_t offset = 0;

    for (uint32_t i = 0; i < count && vks_load_walk_next(&walk, &entry, &sealed); i++) {
        struct vks_key_slot slot = {.version = entry.version,
                                    .type = entry.type,
                                    .nonce_lease = entry.nonce_lease,
                                    .material_bytes = entry.sealed_bytes - VKS_SEAL_OVERHEAD};
        struct vks_seal_name name = {.version = entry.version, .type = entry.type};
        uint8_t *material;
        int error;

        memcpy(slot.key_id, entry.key_id, sizeof(slot.key_id));
        memcpy(name.key_id, entry.key_id, sizeof(name.key_id));
        material = vks_key_slot_append(page->bytes, page->size_bytes, &offset, &slot);
        if (material == NULL)
            return -EPROTO;
        error = vks_unseal(&name, sealed, entry.sealed_bytes, material);
        if (error)
            return error;
    }
    return 0;
}

static int send_page(int channel, const struct vks_custodian_load *load, const struct vks_secret_map *page, int fd)
{
    struct vks_ipc_head head = {.type = VKS_KEYS};
    struct vks_keys keys = {.load_id = load->load_id,
                            .size_bytes = page->size_bytes,
                            .key_count = load->count,
                            .secret_memory = page->memory,
                            .flags = load->flags};

    int error = vks_ipc_send(channel, &head, &(struct vks_ipc_part){&keys, sizeof(keys)}, 1, &fd, 1);

    /* A worker that died with messages unread. */
    return error == -ECONNRESET ? -EPIPE : error;
}

int vks_load(const struct vks_custodian_load *load, const uint8_t *entries, uint32_t entries_bytes)
{
    struct vks_load_walk walk = {entries, entries_bytes};
    int channel = vks_channel_find(load->channel_id);
    struct vks_secret_map page;
    size_t page_bytes;
    int error;
    int fd;

    error = measure(load->count, walk, &page_bytes);
    if (error)
        return error;
    if (channel < 0)
        return channel;
    error = vks_secret_map_create_fd(&page, page_bytes, &fd);
    if (error)
        return error;
    error = fill(&page, load->count, walk);
    if (error == 0)
        error = send_page(channel, load, &page, fd);
    close(fd);
    if (error)
        vks_secret_map_wipe(&page);
    else
        vks_secret_map_close(&page);
    return error;
}
