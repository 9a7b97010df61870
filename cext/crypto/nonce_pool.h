/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What of a P-256 signature needs no message, made in advance (FIPS 186-5, 6.4.1, note at step 2): the inverse of a
 * nonce and r. With it a signature takes a fraction of the time, where there was time before it. Off unless asked for.
 *
 * Each serves one signature and is gone from the pool, wiped, before that is computed. The pool is in the secret arena
 * of one worker, which never forks; it is written nowhere, and a worker that dies takes it along. Whoever reads one of
 * it before it is used, and sees the signature, has the key: SECURITY says what that means.
 *
 * The fast lane's alone.
 */
#ifndef VKS_NONCE_POOL_H
#define VKS_NONCE_POOL_H

#include "key.h"
#include "operation.h"

enum {
    VKS_NONCE_POOL_MAX = 64,
};

/*
 * Make some more, if signatures have asked for any: a piece of work that takes as long as a few signatures. False:
 * there is nothing to do.
 */
bool vks_nonce_pool_fill(void);
/* How many there are. */
uint32_t vks_nonce_pool_count(void);
/* Sign with one; false, and nothing was done, where there is none, or the engine does not serve this. */
bool vks_nonce_pool_sign(struct vks_key *key, struct vks_operation *operation);

#endif
