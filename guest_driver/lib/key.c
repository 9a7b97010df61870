/* SPDX-License-Identifier: BSD-3-Clause */
/* What the device says of itself and of the keys granted to this guest. */
#include <endian.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "vks.h"

/* As many as a guest may be granted; a device that never ends its list must not take all memory. */
#define KEYS_MAX          131072
#define LIST_ANSWER_BYTES (sizeof(struct vks_list_head) + VKS_LIST_ENTRIES_MAX * sizeof(struct vks_key_entry))

int vks_info(struct vks_device *device, struct vks_device_info *info)
{
    struct vks_info_request input = {
        .abi_version_min = htole16(VKS_ABI_VERSION_MIN),
        .abi_version_max = htole16(VKS_ABI_VERSION),
    };
    struct vks_info answer = {0};
    struct vks_request request = {
        .op = VKS_OP_INFO,
        .input = {&input, sizeof(input)},
        .output = &answer,
        .output_size = sizeof(answer),
    };
    int error = vks_submit(device, &request);

    if (error)
        return error;
    if (request.output_written != sizeof(answer))
        return -EPROTO;
    *info = (struct vks_device_info){
        .abi_version_min = le16toh(answer.abi_version_min),
        .abi_version_max = le16toh(answer.abi_version_max),
        .device_version = le32toh(answer.device_version),
        .input_bytes_max = le32toh(answer.input_bytes_max),
        .output_bytes_max = le32toh(answer.output_bytes_max),
        .aad_bytes_max = le32toh(answer.aad_bytes_max),
        .parameter_bytes_max = le32toh(answer.parameter_bytes_max),
        .random_bytes_max = le32toh(answer.random_bytes_max),
        .descriptors_max = le32toh(answer.descriptors_max),
        .op_mask = le64toh(answer.op_mask),
        .mechanism_mask = le64toh(answer.mechanism_mask),
        .key_count = le32toh(answer.key_count),
    };
    memcpy(info->guest_name, answer.guest_name, sizeof(info->guest_name) - 1);
    return 0;
}

static void key_decode(const struct vks_key_entry *entry, struct vks_key *key)
{
    *key = (struct vks_key){
        .version = le32toh(entry->version),
        .type = le32toh(entry->type),
        .state = le32toh(entry->state),
        .is_current = le32toh(entry->is_current) == 1,
        .op_mask = le64toh(entry->op_mask),
        .mechanism_mask = le64toh(entry->mechanism_mask),
    };
    memcpy(key->id, entry->key_id, sizeof(key->id));
    memcpy(key->label, entry->label, sizeof(key->label) - 1);
}

/* Order of the list: key id, then version. */
static bool key_is_behind(const struct vks_key *key, const struct vks_list_request *after)
{
    int order = memcmp(key->id, after->after_key_id, sizeof(key->id));

    return order > 0 || (order == 0 && key->version > le32toh(after->after_version));
}

/* One page into @keys, which has room for VKS_LIST_ENTRIES_MAX; @after moves on. */
static int list_page(struct vks_device *device, uint8_t *answer, struct vks_list_request *after, struct vks_key *keys,
                     uint32_t *count, bool *more)
{
    struct vks_request request = {
        .op = VKS_OP_LIST,
        .input = {after, sizeof(*after)},
        .output = answer,
        .output_size = LIST_ANSWER_BYTES,
    };
    struct vks_list_head head;
    int error = vks_submit(device, &request);

    if (error)
        return error;
    if (request.output_written < sizeof(head))
        return -EPROTO;
    memcpy(&head, answer, sizeof(head));
    *count = le32toh(head.entry_count);
    *more = le32toh(head.more) != 0;
    if (*count > VKS_LIST_ENTRIES_MAX ||
        *count * sizeof(struct vks_key_entry) != request.output_written - sizeof(head) || (*more && !*count))
        return -EPROTO;
    for (uint32_t i = 0; i < *count; i++) {
        struct vks_key_entry entry;

        memcpy(&entry, answer + sizeof(head) + i * sizeof(entry), sizeof(entry));
        key_decode(&entry, &keys[i]);
        /* Strictly onwards, or a list could go round for ever. */
        if (!key_is_behind(&keys[i], after))
            return -EPROTO;
        memcpy(after->after_key_id, entry.key_id, sizeof(after->after_key_id));
        after->after_version = entry.version;
    }
    return 0;
}

int vks_list(struct vks_device *device, struct vks_key **keys, size_t *count)
{
    struct vks_list_request after = {0};
    uint8_t *answer = malloc(LIST_ANSWER_BYTES);
    struct vks_key *found = NULL;
    size_t total = 0;
    bool more = true;
    int error = answer ? 0 : -ENOMEM;

    *keys = NULL;
    *count = 0;
    while (!error && more) {
        uint32_t page_count = 0;
        struct vks_key *grown = realloc(found, (total + VKS_LIST_ENTRIES_MAX) * sizeof(*found));

        if (!grown) {
            error = -ENOMEM;
            break;
        }
        found = grown;
        error = list_page(device, answer, &after, found + total, &page_count, &more);
        total += page_count;
        if (!error && total > KEYS_MAX)
            error = -EPROTO;
    }
    free(answer);
    if (error) {
        free(found);
        return error;
    }
    *keys = found;
    *count = total;
    return 0;
}

static int hex_digit(char digit)
{
    if (digit >= '0' && digit <= '9')
        return digit - '0';
    if (digit >= 'a' && digit <= 'f')
        return digit - 'a' + 10;
    if (digit >= 'A' && digit <= 'F')
        return digit - 'A' + 10;
    return -1;
}

static bool key_id_parse(const char *text, uint8_t id[VKS_KEY_ID_BYTES])
{
    if (strlen(text) != 2 * VKS_KEY_ID_BYTES)
        return false;
    for (int i = 0; i < VKS_KEY_ID_BYTES; i++) {
        int high = hex_digit(text[2 * i]);
        int low = hex_digit(text[2 * i + 1]);

        if (high < 0 || low < 0)
            return false;
        id[i] = (uint8_t)(high << 4 | low);
    }
    return true;
}

int vks_find_key(struct vks_device *device, const char *name, uint32_t version, struct vks_key *key)
{
    uint8_t id[VKS_KEY_ID_BYTES];
    bool is_id = key_id_parse(name, id);
    struct vks_key *keys;
    size_t count;
    int error = vks_list(device, &keys, &count);

    if (error)
        return error;
    error = VKS_STATUS_NO_KEY;
    for (size_t i = 0; i < count; i++) {
        bool is_named = strcmp(keys[i].label, name) == 0;

        if (!is_named && !(is_id && memcmp(keys[i].id, id, sizeof(id)) == 0))
            continue;
        if (version ? keys[i].version != version : !keys[i].is_current)
            continue;
        *key = keys[i];
        error = 0;
        /* A label wins over an id that reads the same. */
        if (is_named)
            break;
    }
    free(keys);
    return error;
}
