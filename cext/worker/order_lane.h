/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The request that keystored carries out: making, renewing, destroying a key of the guest's own. One at a time; the
 * lane keeps what an answer takes, and waits for nothing. What it comes to is decided there: what the worker decides
 * before only keeps those away that would be refused.
 *
 *   FREE -> AWAY -> DONE -> FREE
 */
#ifndef VKS_WORKER_ORDER_LANE_H
#define VKS_WORKER_ORDER_LANE_H

#include <stdbool.h>
#include <stdint.h>

#include "ipc_order.h"
#include "job.h"

enum order_state {
    ORDER_FREE,
    ORDER_AWAY,
    ORDER_DONE,
};

struct order_lane {
    struct job job;
    enum order_state state;
};

/* Whether *op* is one that keystored carries out. */
bool order_is(uint32_t op);
/* Buffers. */
void order_lane_open(struct order_lane *lane);
/*
 * Send a decided *job*, whose payload is copied, and keep the rest of it; the lane is free. What breaks the form of an
 * order, or cannot be sent, is done at once.
 */
void order_lane_send(struct order_lane *lane, int control_fd, const struct job *job);
/* 0, or -ESRCH: there is no such order away. */
__attribute__((warn_unused_result)) int order_lane_take(struct order_lane *lane,
                                                        const struct vks_worker_ordered *ordered);

#endif
