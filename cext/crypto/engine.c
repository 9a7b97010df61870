/* SPDX-License-Identifier: Apache-2.0 */
/* Which functions were found and allowed. Knows no library. */
#include "engine.h"

#include "engine_crypto_mb.h"
#include "engine_ipsec_mb.h"

static uint32_t found;
static uint32_t allowed;

void vks_engines_open(void)
{
    found = vks_crypto_mb_open() | vks_ipsec_mb_open();
}

uint32_t vks_engines_found(void)
{
    return found;
}

void vks_engines_allow(uint32_t functions)
{
    allowed = functions;
}

uint32_t vks_engines_used(void)
{
    return found & allowed;
}

bool vks_engine_serves(enum vks_engine_function function)
{
    return vks_engines_used() >> function & 1;
}
