/* SPDX-License-Identifier: Apache-2.0 */
/* What a request leaves behind in guest memory: SPECIFICATION.md, 3. */
#include "answer.h"

#include <endian.h>

#include "kill_point.h"

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
