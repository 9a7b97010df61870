/* SPDX-License-Identifier: Apache-2.0 */
/* A few threads, each with a session of the token, that do what clients ask for. */
#ifndef VKS_HSM_SESSIONS_H
#define VKS_HSM_SESSIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "token.h"

enum vks_hsm_sessions_limit {
    VKS_HSM_SESSIONS_MAX = 4,
    VKS_HSM_SESSION_SECONDS_MAX = 30, /* what takes longer never ends */
};

/*
 * Start them for a token that is open: with *threads* as many as it has sessions for, else one. How many there are; 0
 * where not even one thread could be started. They end the process when the token is gone.
 */
uint32_t vks_hsm_sessions_start(const struct vks_token *token, bool threads);

#endif
