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

enum vks_engine {
    VKS_ENGINE_LIBCRYPTO = 0,
    VKS_ENGINE_CRYPTO_MB = 1,
    VKS_ENGINE_IPSEC_MB = 2,
};

/* What an engine can take over from libcrypto: bits of a mask. */
enum vks_engine_function {
    VKS_ENGINE_P256_SIGN = 0,
    VKS_ENGINE_P384_SIGN = 1,
    VKS_ENGINE_ED25519_SIGN = 2,
    VKS_ENGINE_X25519_DERIVE = 3,
    VKS_ENGINE_RSA_2048_SIGN = 4,
    VKS_ENGINE_RSA_3072_SIGN = 5,
    VKS_ENGINE_RSA_4096_SIGN = 6,
    VKS_ENGINE_AES_GCM = 7,
    VKS_ENGINE_HMAC_SHA256 = 8,
    VKS_ENGINE_FUNCTIONS = 9,
};

/* Open, check, try. In a zygote before it is confined; never fails. Says on stderr, in one line, what was wrong. */
void vks_engines_open(void);
/* The functions that were found, one bit each. */
uint32_t vks_engines_found(void);
/*
 * From here on only these of the functions found are used; before this call none is. Not before the fork: what engines
 * make at their first use holds secrets.
 */
void vks_engines_allow(uint32_t functions);
/* Whether *function* is found and allowed. */
bool vks_engine_serves(enum vks_engine_function function);
/* Whose it is, where it serves. */
enum vks_engine vks_engine_of(enum vks_engine_function function);

#endif
