/* SPDX-License-Identifier: Apache-2.0 */
/* An HMAC-SHA-256 key as libipsec-mb takes it. */
#ifndef VKS_HMAC_STATES_H
#define VKS_HMAC_STATES_H

#include <stdbool.h>
#include <stdint.h>

#include "engine_ipsec_mb.h"
#include "key.h"

/* SHA-256's state after the inner padding of the key, then after the outer one (FIPS 198-1, 4). */
__attribute__((warn_unused_result)) bool vks_hmac_states(const uint8_t *key, uint32_t key_bytes, enum vks_lane lane,
                                                         uint8_t states[2 * IPSEC_MB_HMAC_STATE_BYTES]);

#endif
