/* SPDX-License-Identifier: Apache-2.0 */
/* HMAC-SHA-256 side by side (FIPS 198-1). What is of no length is not the library's. */
#include <openssl/crypto.h>
#include <string.h>

#include "batch_private.h"
#include "engine_ipsec_mb.h"
#include "hmac_states.h"

_Static_assert((int)IPSEC_MB_BURST_MAX == (int)VKS_BATCH_LANES, "a batch is a burst");

/* Made at first use, by the lane's own thread. */
static void *managers[VKS_LANE_COUNT];

static bool make_states(const struct vks_key *key, enum vks_lane lane, uint8_t *states)
{
    return vks_hmac_states(key->material, key->material_bytes, lane, states);
}

static const uint8_t *states_of(struct vks_key *key, enum vks_lane lane)
{
    return vks_key_engine_part(key, lane, 2 * IPSEC_MB_HMAC_STATE_BYTES, make_states);
}

void vks_batch_hmac(struct vks_batch_work *work, uint32_t count, enum vks_lane lane)
{
    struct ipsec_mb_hmac messages[VKS_BATCH_LANES];
    uint8_t tags[VKS_BATCH_LANES][IPSEC_MB_HMAC_BYTES];
    uint32_t of[VKS_BATCH_LANES];
    uint32_t live = 0;

    if (managers[lane] == NULL)
        managers[lane] = vks_ipsec_mb_manager_new();
    if (managers[lane] == NULL)
        return;
    for (uint32_t i = 0; i < count; i++) {
        const struct vks_operation *operation = work[i].operation;
        const uint8_t *states = operation->input_bytes ? states_of(work[i].key, lane) : NULL;

        if (states == NULL)
            continue;
        messages[live] = (struct ipsec_mb_hmac){states, states + IPSEC_MB_HMAC_STATE_BYTES, operation->input,
                                                operation->input_bytes, tags[live]};
        of[live++] = i;
    }
    if (live && vks_ipsec_mb.hmac_sha256(managers[lane], messages, live))
        for (uint32_t i = 0; i < live; i++) {
            memcpy(work[of[i]].operation->output, tags[i], IPSEC_MB_HMAC_BYTES);
            work[of[i]].operation->output_bytes = IPSEC_MB_HMAC_BYTES;
            work[of[i]].done = true;
        }
    OPENSSL_cleanse(tags, sizeof(tags));
}
