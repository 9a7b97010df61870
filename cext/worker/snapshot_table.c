/* SPDX-License-Identifier: Apache-2.0 */
/* Copying, checking and searching a snapshot. The copy comes first: what is checked is what is used. */
#define _GNU_SOURCE
#include "snapshot_table.h"

#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "file_status.h"
#include "policy.h"
#include "state.h"
#include "vmm_keystore.h"

/* What a grant says beside operations. */
#define MARKS (UINT64_C(1) << VKS_OP_LOGIN | UINT64_C(1) << VKS_OP_RELEASE)

enum {
    SEALS = F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW,
};

static int read_all(int fd, void *to, size_t size_bytes, off_t offset)
{
    uint8_t *next = to;

    while (size_bytes) {
        ssize_t got = pread(fd, next, size_bytes, offset);

        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -EPROTO;
        next += got;
        offset += got;
        size_bytes -= (size_t)got;
    }
    return 0;
}

static int head_read(struct vks_snapshot_head *head, int fd, uint64_t size_bytes, uint64_t generation)
{
    struct stat stat;
    int seals = fcntl(fd, F_GET_SEALS);

    if (seals < 0 || (seals & SEALS) != SEALS || vks_file_status(fd, &stat) || (uint64_t)stat.st_size != size_bytes ||
        size_bytes < sizeof(*head))
        return -EPROTO;
    if (read_all(fd, head, sizeof(*head), 0))
        return -EPROTO;
    if (head->magic != VKS_SNAPSHOT_MAGIC || head->version != VKS_SNAPSHOT_VERSION || head->generation != generation ||
        head->key_count > VKS_SNAPSHOT_KEYS_MAX || head->poll_us > VKS_SNAPSHOT_POLL_US_MAX ||
        head->guest_name[sizeof(head->guest_name) - 1])
        return -EPROTO;
    return size_bytes == sizeof(*head) + head->key_count * sizeof(struct vks_snapshot_key) ? 0 : -EPROTO;
}

static struct snapshot_table *table_map(const struct vks_snapshot_head *head)
{
    size_t count = head->key_count;
    size_t bytes = sizeof(struct snapshot_table) +
                   count * (sizeof(struct vks_key *) + sizeof(struct vks_snapshot_key) + sizeof(uint32_t));
    struct snapshot_table *table = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

    if (table == MAP_FAILED)
        return NULL;
    table->head = *head;
    table->map_bytes = bytes;
    table->key = (struct vks_key **)(table + 1);
    table->entry = (struct vks_snapshot_key *)(table->key + count);
    table->current = (uint32_t *)(table->entry + count);
    return table;
}

static int key_order(const uint8_t a[16], uint32_t a_version, const uint8_t b[16], uint32_t b_version)
{
    int order = memcmp(a, b, VKS_KEY_ID_BYTES);

    if (order)
        return order;
    return a_version < b_version ? -1 : a_version > b_version;
}

static bool entry_fits(const struct vks_snapshot_key *entry)
{
    return entry->version && vks_policy_type_mechanisms(entry->type) && entry->state < VKS_KEY_STATE_COUNT &&
           entry->current <= 1 && !((entry->op_mask & ~MARKS) >> VKS_OP_COUNT) &&
           !(entry->mechanism_mask & ~vks_policy_type_mechanisms(entry->type)) &&
           entry->uid_count <= VKS_SNAPSHOT_UIDS_MAX && entry->ops_a_second <= VKS_SNAPSHOT_RATE_MAX &&
           entry->budget <= VKS_STATE_BUDGETS_MAX && (entry->budget || (!entry->ops_max && !entry->ops_a_second)) &&
           !entry->label[sizeof(entry->label) - 1];
}

/* Check every entry against the one before it, and note the current ones. */
static int entries_check(struct snapshot_table *table)
{
    const struct vks_snapshot_key *counted = NULL;

    for (uint32_t i = 0; i < table->head.key_count; i++) {
        const struct vks_snapshot_key *entry = &table->entry[i];

        if (!entry_fits(entry))
            return -EPROTO;
        if (i && key_order(entry[-1].key_id, entry[-1].version, entry->key_id, entry->version) >= 0)
            return -EPROTO;
        if (entry->current) {
            if (table->current_count && memcmp(table->entry[table->current[table->current_count - 1]].key_id,
                                               entry->key_id, VKS_KEY_ID_BYTES) == 0)
                return -EPROTO;
            table->current[table->current_count++] = i;
        }
        if (entry->state != VKS_KEY_STATE_DESTROYED &&
            (!counted || memcmp(counted->key_id, entry->key_id, VKS_KEY_ID_BYTES) != 0)) {
            counted = entry;
            table->guest_key_count++;
        }
    }
    return 0;
}

int snapshot_table_read(struct snapshot_table **table, int fd, uint64_t size_bytes, uint64_t generation)
{
    struct vks_snapshot_head head;
    struct snapshot_table *fresh;
    int error = head_read(&head, fd, size_bytes, generation);

    if (error)
        return error;
    fresh = table_map(&head);
    if (!fresh)
        return -ENOMEM;
    error = read_all(fd, fresh->entry, head.key_count * sizeof(*fresh->entry), sizeof(head));
    if (!error)
        error = entries_check(fresh);
    if (error) {
        snapshot_table_free(fresh);
        return error;
    }
    *table = fresh;
    return 0;
}

void snapshot_table_free(struct snapshot_table *table)
{
    if (table)
        munmap(table, table->map_bytes);
}

uint32_t snapshot_table_after(const struct snapshot_table *table, const uint8_t key_id[16], uint32_t version)
{
    uint32_t low = 0, high = table->head.key_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;

        if (key_order(table->entry[middle].key_id, table->entry[middle].version, key_id, version) <= 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static int64_t find_current(const struct snapshot_table *table, const uint8_t key_id[16])
{
    uint32_t low = 0, high = table->current_count;

    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        int order = memcmp(table->entry[table->current[middle]].key_id, key_id, VKS_KEY_ID_BYTES);

        if (order == 0)
            return table->current[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return -1;
}

int64_t snapshot_table_find(const struct snapshot_table *table, const uint8_t key_id[16], uint32_t version)
{
    uint32_t index;

    if (!table)
        return -1;
    if (version == 0)
        return find_current(table, key_id);
    index = snapshot_table_after(table, key_id, version - 1);
    if (index < table->head.key_count &&
        key_order(table->entry[index].key_id, table->entry[index].version, key_id, version) == 0)
        return index;
    return -1;
}
