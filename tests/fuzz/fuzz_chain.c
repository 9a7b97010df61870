/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A guest's memory is the input: descriptor table, indirect tables, head and payload all lie in it. Walks the chain,
 * decodes, reads the payload and answers as the worker does, and checks what sanitizers cannot see: only the chain's
 * device-writable bytes change, and totals are those of the ranges.
 *
 * Input: table size (log 2), head, status of the answer, output bytes of the answer (2), then guest memory from
 * GUEST_GPA on, in two regions that do not touch.
 */
#include <assert.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "answer.h"
#include "desc_chain.h"
#include "request.h"

enum {
    CONTROL_BYTES = 5,
    GUEST_GPA = 0x1000,
    GAP_BYTES = 0x1000,
    LOW_BYTES = 0x1000, /* the table lies here */
    HIGH_BYTES = 0x400,
    GUEST_BYTES = LOW_BYTES + HIGH_BYTES,
    TABLE_LOG_MAX = 8,
};

static struct vks_segment segments[VKS_DESCRIPTORS_MAX];
static struct job job = {.chain = {.segment = segments}};
static uint8_t output[65536] = {0x5a, 0x5a};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes);

/* Each region an allocation of its own, so that a byte too far is one too far for the sanitizer. */
static void map_guest(struct vks_guest_mem *mem, const uint8_t *data, size_t size_bytes)
{
    static const struct vks_region regions[] = {
        {.gpa = GUEST_GPA, .size_bytes = LOW_BYTES},
        {.gpa = GUEST_GPA + LOW_BYTES + GAP_BYTES, .size_bytes = HIGH_BYTES},
    };

    mem->region_count = 2;
    for (int i = 0; i < 2; i++) {
        size_t part = size_bytes < regions[i].size_bytes ? size_bytes : regions[i].size_bytes;

        mem->region[i] = regions[i];
        mem->region[i].host = calloc(1, regions[i].size_bytes);
        assert(mem->region[i].host);
        memcpy(mem->region[i].host, data, part);
        data += part;
        size_bytes -= part;
    }
}

/* Offset in both regions laid end to end, of a byte the chain gave. */
static size_t offset_of(const struct vks_guest_mem *mem, const uint8_t *host)
{
    size_t offset = (size_t)((uintptr_t)host - (uintptr_t)mem->region[0].host);

    if (offset < LOW_BYTES)
        return offset;
    offset = (size_t)((uintptr_t)host - (uintptr_t)mem->region[1].host);
    assert(offset < HIGH_BYTES);
    return LOW_BYTES + offset;
}

static void check_totals(const struct vks_desc_chain *chain)
{
    uint64_t readable = 0, writable = 0;

    for (uint32_t i = 0; i < chain->segment_count; i++) {
        if (i < chain->readable_count)
            readable += chain->segment[i].size_bytes;
        else
            writable += chain->segment[i].size_bytes;
    }
    assert(readable == chain->readable_bytes && writable == chain->writable_bytes);
}

static uint32_t answer(int walked, uint32_t status, uint32_t output_bytes)
{
    struct vks_request_head head;
    static uint8_t payload[GUEST_BYTES * 2];

    if (!walked)
        return answer_broken(&job.chain);
    check_totals(&job.chain);
    if (job.chain.readable_bytes >= sizeof(head))
        assert(vks_desc_chain_read(&job.chain, 0, &head, sizeof(head)) == 0);
    job.status = request_decode(&job.request, &head, job.chain.readable_bytes, job.chain.writable_bytes);
    job.output_bytes = 0;
    if (job.status == VKS_STATUS_OK) {
        uint32_t payload_bytes = request_payload_bytes(&job.request);

        assert(payload_bytes + sizeof(head) == job.chain.readable_bytes);
        if (payload_bytes <= sizeof(payload))
            assert(vks_desc_chain_read(&job.chain, sizeof(head), payload, payload_bytes) == 0);
        job.status = status;
        job.output_bytes = output_bytes < job.request.output_bytes ? output_bytes : job.request.output_bytes;
    }
    return answer_write(&job);
}

/* Take what the answer may have written out of the comparison, then nothing may differ. */
static void check_changes(const struct vks_guest_mem *mem, uint8_t *before, int walked)
{
    if (job.chain.status)
        before[offset_of(mem, job.chain.status)] = *job.chain.status;
    for (uint32_t i = job.chain.readable_count; walked && i < job.chain.segment_count; i++)
        memcpy(before + offset_of(mem, job.chain.segment[i].host), job.chain.segment[i].host,
               job.chain.segment[i].size_bytes);
    assert(memcmp(before, mem->region[0].host, LOW_BYTES) == 0);
    assert(memcmp(before + LOW_BYTES, mem->region[1].host, HIGH_BYTES) == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size_bytes)
{
    static uint8_t before[GUEST_BYTES];
    struct vks_guest_mem mem;
    uint32_t table_count, head, used_bytes;
    int walked;

    if (size_bytes < CONTROL_BYTES)
        return 0;
    table_count = 1u << (data[0] % (TABLE_LOG_MAX + 1));
    head = data[1] % table_count;
    job.output = output;
    job.sequence = 1;
    map_guest(&mem, data + CONTROL_BYTES, size_bytes - CONTROL_BYTES);
    memcpy(before, mem.region[0].host, LOW_BYTES);
    memcpy(before + LOW_BYTES, mem.region[1].host, HIGH_BYTES);
    walked = vks_desc_chain_walk(&job.chain, &mem, (void *)mem.region[0].host, table_count, head) == 0;
    used_bytes = answer(walked, data[2], (uint32_t)(data[3] | data[4] << 8));
    assert((used_bytes > 0) == (job.chain.status != NULL));
    check_changes(&mem, before, walked);
    free(mem.region[0].host);
    free(mem.region[1].host);
    return 0;
}
