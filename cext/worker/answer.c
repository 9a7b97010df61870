/* SPDX-License-Identifier: Apache-2.0 */
/* What a request leaves behind: SPECIFICATION.md, 3, and the audit record of audit.h. */
#include "answer.h"

#include <endian.h>
#include <stdlib.h>
#include <string.h>

#include "kill_point.h"

void answer_record(struct vks_audit_ring *ring, const struct job *job, uint64_t time_ns)
{
    const struct request *request = &job->request;
    struct vks_audit_record record = {
        .request_sequence = job->sequence,
        .time_ns = time_ns,
        .input_bytes = request->input_bytes,
        .key_version = job->key_version ? job->key_version : request->key_version,
        .op = request->op,
        .mechanism = job->mechanism,
        .status = job->status,
        .flags = (request->flags & VKS_REQUEST_F_UID ? VKS_AUDIT_F_UID : 0) |
                 (request->flags & VKS_REQUEST_F_DIGEST ? VKS_AUDIT_F_DIGEST : 0) |
                 (job->set_aside ? VKS_AUDIT_F_SET_ASIDE : 0),
        .uid = request->uid,
        .request_count = 1,
        .attempt = job->attempt,
    };

    memcpy(record.key_id, request->key_id, sizeof(record.key_id));
    /* The caller saw room and is the only one who appends: failure is a bug, and a result without record is worse. */
    if (vks_audit_append(ring, &record))
        abort();
}

static uint32_t used_bytes(const struct vks_desc_chain *chain)
{
    return chain->writable_bytes > UINT32_MAX ? UINT32_MAX : (uint32_t)chain->writable_bytes;
}

uint32_t answer_write(const struct job *job)
{
    const struct vks_desc_chain *chain = &job->chain;
    uint32_t output_bytes = job->status == VKS_STATUS_OK ? job->output_bytes : 0;
    uint64_t area_bytes;
    struct vks_result result = {
        .output_bytes = htole32(job->output_bytes),
        .key_version = htole32(job->key_version),
        .sequence = htole64(job->sequence),
        .abi_version = htole16(VKS_ABI_VERSION),
    };

    /* No status byte: the ranges went with the memory table. Nobody can be told. */
    if (!chain->status)
        return 0;
    if (chain->writable_bytes > VKS_RESULT_BYTES) {
        area_bytes = chain->writable_bytes - VKS_RESULT_BYTES - 1;
        vks_desc_chain_write(chain, 0, job->output, output_bytes);
        KILL_POINT(KILL_MID_RESULT);
        /* A larger area was refused; zeros over all of guest memory would hold up the lane. */
        if (area_bytes <= VKS_OUTPUT_BYTES_MAX)
            vks_desc_chain_write(chain, output_bytes, NULL, area_bytes - output_bytes);
        vks_desc_chain_write(chain, area_bytes, &result, sizeof(result));
    }
    *(volatile uint8_t *)chain->status = (uint8_t)job->status;
    return used_bytes(chain);
}

uint32_t answer_broken(const struct vks_desc_chain *chain)
{
    if (!chain->status)
        return 0;
    *(volatile uint8_t *)chain->status = VKS_STATUS_MALFORMED;
    return used_bytes(chain);
}
