/* SPDX-License-Identifier: Apache-2.0 */
/* Short lists, looked through only when a key is missing. */
#include "key_wants.h"

#include <string.h>

static const uint64_t REFUSED_NS = 1000000000;

static bool has(const struct vks_worker_keys_wanted *list, const struct vks_snapshot_key *entry)
{
    for (uint32_t i = 0; i < list->count; i++)
        if (list->key[i].version == entry->version &&
            memcmp(list->key[i].key_id, entry->key_id, sizeof(entry->key_id)) == 0)
            return true;
    return false;
}

void key_wants_note(struct key_wants *wants, const struct vks_snapshot_key *entry)
{
    struct vks_key_version *key;

    if (wants->away || wants->list.count == VKS_KEYS_WANTED_MAX || has(&wants->list, entry))
        return;
    key = &wants->list.key[wants->list.count++];
    memcpy(key->key_id, entry->key_id, sizeof(key->key_id));
    key->version = entry->version;
}

bool key_wants_is_refused(const struct key_wants *wants, const struct vks_snapshot_key *entry, uint64_t now_ns)
{
    return now_ns < wants->refused_until_ns && has(&wants->refused, entry);
}

const struct vks_worker_keys_wanted *key_wants_take(struct key_wants *wants)
{
    if (wants->away || !wants->list.count)
        return NULL;
    wants->away = true;
    return &wants->list;
}

void key_wants_settle(struct key_wants *wants, const struct snapshot_table *table, uint64_t now_ns)
{
    if (!wants->away)
        return;
    wants->refused.count = 0;
    for (uint32_t i = 0; i < wants->list.count; i++) {
        const struct vks_key_version *key = &wants->list.key[i];
        int64_t index = snapshot_table_find(table, key->key_id, key->version);

        if (index >= 0 && !table->key[index])
            wants->refused.key[wants->refused.count++] = *key;
    }
    wants->refused_until_ns = now_ns + REFUSED_NS;
    wants->list.count = 0;
    wants->away = false;
}
