/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Who computes: libcrypto, always; and two libraries that do some functions faster, where they are installed.
 *
 * The zygote opens them once, before it is confined: each function of a library counts as found only where the
 * processor has what it needs and known answers came out right, function by function (a packaged libcrypto_mb signs
 * wrongly with Ed25519 and reports success). A worker inherits what was found and is told what it may use. A library
 * that is absent, too old or wrong is no error: libcrypto serves.
 *
 * libcrypto_mb (Intel Cryptography Primitives) computes eight of a kind at once: batch.h. libipsec-mb (Intel
 * Multi-Buffer Crypto for IPsec) serves AES-GCM one by one, and HMAC in bursts.
 */
#ifndef VKS_CRYPTO_ENGINE_H
#define VKS_CRYPTO_ENGINE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine_function.h"

/* Open, check, try. In a zygote before it is confined; never fails. Says on stderr, in one line, what was wrong. */
void vks_engines_open(void);
/* The functions that were found, one bit each. */
uint32_t vks_engines_found(void);
/*
 * From here on only these of the functions found are used; before this call none is. Not before the fork: what engines
 * make at their first use holds secrets.
 */
void vks_engines_allow(uint32_t functions);
/* The functions that engines serve: found and allowed. */
uint32_t vks_engines_used(void);
/* Whether *function* is found and allowed. */
bool vks_engine_serves(enum vks_engine_function function);
#endif
