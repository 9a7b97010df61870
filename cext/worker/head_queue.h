/* SPDX-License-Identifier: Apache-2.0 */
/* A queue of descriptor heads that wait inside the worker. A head is in flight once at most, so it cannot overflow. */
#ifndef VKS_WORKER_HEAD_QUEUE_H
#define VKS_WORKER_HEAD_QUEUE_H

#include <stdint.h>

#include "state.h"

struct head_queue {
    uint32_t first;
    uint32_t count;
    uint16_t head[VKS_STATE_QUEUE_SIZE_MAX];
};

static inline void head_queue_push(struct head_queue *queue, uint16_t head)
{
    queue->head[(queue->first + queue->count++) % VKS_STATE_QUEUE_SIZE_MAX] = head;
}

static inline void head_queue_push_front(struct head_queue *queue, uint16_t head)
{
    queue->first = (queue->first + VKS_STATE_QUEUE_SIZE_MAX - 1) % VKS_STATE_QUEUE_SIZE_MAX;
    queue->count++;
    queue->head[queue->first] = head;
}

static inline uint16_t head_queue_pop(struct head_queue *queue)
{
    uint16_t head = queue->head[queue->first];

    queue->first = (queue->first + 1) % VKS_STATE_QUEUE_SIZE_MAX;
    queue->count--;
    return head;
}

#endif
