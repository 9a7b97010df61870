/* SPDX-License-Identifier: Apache-2.0 */
/* What the device says about itself and about this guest's keys: info and list. */
#include <endian.h>
#include <string.h>

#include "algorithm.h"
#include "decide.h"
#include "policy.h"

#define ORDERS (UINT64_C(1) << VKS_OP_GENERATE | UINT64_C(1) << VKS_OP_ROTATE | UINT64_C(1) << VKS_OP_DESTROY)

enum {
    DEVICE_VERSION = 0 << 16 | 1 << 8 | 0,
};

bool device_answers(uint32_t op)
{
    return op == VKS_OP_INFO || op == VKS_OP_LIST;
}

static uint32_t output_size(struct job *job, uint32_t needed_bytes)
{
    job->output_bytes = needed_bytes;
    return VKS_STATUS_OUTPUT_SIZE;
}

/* Of the types that this host's libcrypto has. */
static uint64_t mechanisms(void)
{
    uint64_t types = vks_algorithm_types(), mask = 0;

    for (uint32_t type = VKS_KEY_TYPE_EC_P256; type < VKS_KEY_TYPE_COUNT; type++)
        if (types & (UINT64_C(1) << type))
            mask |= vks_policy_type_mechanisms(type);
    return mask;
}

static uint64_t ops(uint64_t of_mechanisms)
{
    uint64_t mask = UINT64_C(1) << VKS_OP_INFO | UINT64_C(1) << VKS_OP_LIST | UINT64_C(1) << VKS_OP_PUBLIC |
                    UINT64_C(1) << VKS_OP_RANDOM;

    for (uint32_t mechanism = VKS_MECHANISM_DEFAULT + 1; mechanism < VKS_MECHANISM_COUNT; mechanism++)
        if (of_mechanisms & (UINT64_C(1) << mechanism))
            mask |= vks_policy_mechanism_ops(mechanism);
    return mask & ~(UINT64_C(1) << VKS_OP_RELEASE);
}

static uint32_t answer_info(struct job *job, const struct snapshot_table *table, uint64_t *driver_features)
{
    struct vks_info_request asked;
    struct vks_info info = {
        .abi_version_min = htole16(VKS_ABI_VERSION_MIN),
        .abi_version_max = htole16(VKS_ABI_VERSION),
        .device_version = htole32(DEVICE_VERSION),
        .input_bytes_max = htole32(VKS_INPUT_BYTES_MAX),
        .output_bytes_max = htole32(VKS_OUTPUT_BYTES_MAX),
        .aad_bytes_max = htole32(VKS_AAD_BYTES_MAX),
        .parameter_bytes_max = htole32(VKS_PARAMETER_BYTES_MAX),
        .random_bytes_max = htole32(VKS_RANDOM_BYTES_MAX),
        .descriptors_max = htole32(VKS_DESCRIPTORS_MAX),
        .mechanism_mask = htole64(mechanisms()),
    };

    if (job->request.input_bytes != sizeof(asked))
        return VKS_STATUS_MALFORMED;
    memcpy(&asked, job->input, sizeof(asked));
    if (le16toh(asked.abi_version_min) > VKS_ABI_VERSION || le16toh(asked.abi_version_max) < VKS_ABI_VERSION_MIN ||
        le16toh(asked.abi_version_min) > le16toh(asked.abi_version_max))
        return VKS_STATUS_VERSION;
    if (job->request.output_bytes < sizeof(info))
        return output_size(job, sizeof(info));
    info.op_mask = htole64(ops(mechanisms()) | (table && table->head.own_keys_max ? ORDERS : 0));
    if (table) {
        info.key_count = htole32(table->guest_key_count);
        memcpy(info.guest_name, table->head.guest_name, sizeof(info.guest_name));
    }
    memcpy(job->output, &info, sizeof(info));
    job->output_bytes = sizeof(info);
    *driver_features = le64toh(asked.driver_features);
    return VKS_STATUS_OK;
}

static void entry_write(uint8_t *to, const struct vks_snapshot_key *from)
{
    struct vks_key_entry entry = {
        .version = htole32(from->version),
        .type = htole32(from->type),
        .state = htole32(from->state),
        .is_current = htole32(from->current),
        .op_mask = htole64(from->op_mask),
        .mechanism_mask = htole64(from->mechanism_mask),
    };

    memcpy(entry.key_id, from->key_id, sizeof(entry.key_id));
    memcpy(entry.label, from->label, sizeof(entry.label));
    memcpy(to, &entry, sizeof(entry));
}

static uint32_t answer_list(struct job *job, const struct snapshot_table *table)
{
    struct vks_list_request asked;
    struct vks_list_head head = {0};
    uint32_t size_bytes = sizeof(head), count = 0, index = 0, end = table ? table->head.key_count : 0;

    if (job->request.input_bytes != sizeof(asked))
        return VKS_STATUS_MALFORMED;
    memcpy(&asked, job->input, sizeof(asked));
    if (asked.reserved)
        return VKS_STATUS_MALFORMED;
    if (job->request.output_bytes < sizeof(head))
        return output_size(job, sizeof(head) + sizeof(struct vks_key_entry));
    if (table)
        index = snapshot_table_after(table, asked.after_key_id, le32toh(asked.after_version));
    for (; index < end; index++) {
        if (table->entry[index].state == VKS_KEY_STATE_DESTROYED)
            continue;
        if (count == VKS_LIST_ENTRIES_MAX || job->request.output_bytes - size_bytes < sizeof(struct vks_key_entry)) {
            head.more = htole32(1);
            break;
        }
        entry_write(job->output + size_bytes, &table->entry[index]);
        size_bytes += (uint32_t)sizeof(struct vks_key_entry);
        count++;
    }
    /* A page without entries would never end. */
    if (head.more && count == 0)
        return output_size(job, sizeof(head) + sizeof(struct vks_key_entry));
    head.entry_count = htole32(count);
    memcpy(job->output, &head, sizeof(head));
    job->output_bytes = size_bytes;
    return VKS_STATUS_OK;
}

uint32_t device_answer(struct job *job, const struct snapshot_table *table, uint64_t *driver_features)
{
    _Static_assert(sizeof(struct vks_list_head) + VKS_LIST_ENTRIES_MAX * sizeof(struct vks_key_entry) <=
                       JOB_FAST_OUTPUT_BYTES,
                   "the longest list fits the fast lane's buffer");

    job->output_bytes = 0;
    return job->request.op == VKS_OP_INFO ? answer_info(job, table, driver_features) : answer_list(job, table);
}
