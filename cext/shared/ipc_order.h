/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Orders: what a guest asks for of keys of its own, carried from its worker to keystored, and what came of it. A
 * message of ipc.h.
 *
 * A worker has one at a time. The number of the request tells one from another: an order that keystored has carried out
 * already is answered with what it came to then.
 */
#ifndef VKS_IPC_ORDER_H
#define VKS_IPC_ORDER_H

#include <stdint.h>

enum vks_order_flag {
    VKS_ORDER_F_UID = 0x1, /* uid was stamped by the guest's kernel */
};

struct vks_worker_order {
    uint64_t request_sequence;
    uint32_t op;    /* VKS_OP_GENERATE, _ROTATE or _DESTROY */
    uint32_t type;  /* generate: as asked; else 0 */
    uint32_t flags; /* enum vks_order_flag */
    uint32_t uid;
    uint8_t key_id[16]; /* rotate, destroy; else zero */
    uint8_t label[64];  /* generate: as asked; else zero */
};

struct vks_worker_ordered {
    uint64_t request_sequence;
    uint32_t status;      /* enum vks_status */
    uint32_t key_version; /* generate, rotate: made; else 0 */
    uint8_t key_id[16];   /* of the key that it was about; zero where there is none */
};

#endif
