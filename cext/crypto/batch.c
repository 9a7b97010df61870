/* SPDX-License-Identifier: Apache-2.0 */
/* From operations of one class to the engine that serves it. */
#include "batch.h"

uint32_t vks_batch_class(const struct vks_key *key, uint32_t op, uint32_t mechanism, uint32_t payload_bytes)
{
    (void)key, (void)op, (void)mechanism, (void)payload_bytes;
    return 0;
}

void vks_batch_run(struct vks_batch_item *items, uint32_t count, enum vks_lane lane)
{
    for (uint32_t i = 0; i < count; i++)
        items[i].status = vks_operation_run(items[i].key, &items[i].operation, lane);
}
