/* SPDX-License-Identifier: Apache-2.0 */
/*
 * libcrypto_mb (Intel Cryptography Primitives): eight lanes in step.
 *
 * Its prototypes as the headers crypto_mb/ec_nistp256.h, ec_nistp384.h, ed25519.h, x25519.h and rsa.h of 2021.12 to
 * 2.3 have them: numbers are little-endian 64-bit words, texts and signatures bytes as the standards write them.
 */
#ifndef VKS_ENGINE_CRYPTO_MB_H
#define VKS_ENGINE_CRYPTO_MB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine.h"

enum {
    CRYPTO_MB_LANES = 8,
};

/* crypto_mb/status.h: four bits a lane, 0 where all is well. */
typedef uint32_t crypto_mb_status;

typedef crypto_mb_status crypto_mb_ecdsa_sign(uint8_t *const r[CRYPTO_MB_LANES], uint8_t *const s[CRYPTO_MB_LANES],
                                              const uint8_t *const digest[CRYPTO_MB_LANES],
                                              const uint64_t *const nonce[CRYPTO_MB_LANES],
                                              const uint64_t *const scalar[CRYPTO_MB_LANES], uint8_t *buffer);
/* The two halves of a signature: inverse of the nonce and r, then the rest. */
typedef crypto_mb_status crypto_mb_p256_sign_setup(uint64_t *const inverse[CRYPTO_MB_LANES],
                                                   uint64_t *const r_half[CRYPTO_MB_LANES],
                                                   const uint64_t *const nonce[CRYPTO_MB_LANES], uint8_t *buffer);
typedef crypto_mb_status crypto_mb_p256_sign_complete(uint8_t *const r[CRYPTO_MB_LANES],
                                                      uint8_t *const s[CRYPTO_MB_LANES],
                                                      const uint8_t *const digest[CRYPTO_MB_LANES],
                                                      const uint64_t *const r_half[CRYPTO_MB_LANES],
                                                      const uint64_t *const inverse[CRYPTO_MB_LANES],
                                                      const uint64_t *const scalar[CRYPTO_MB_LANES], uint8_t *buffer);
typedef crypto_mb_status crypto_mb_ed25519_sign(uint8_t *const r[CRYPTO_MB_LANES], uint8_t *const s[CRYPTO_MB_LANES],
                                                const uint8_t *const message[CRYPTO_MB_LANES],
                                                const uint32_t message_bytes[CRYPTO_MB_LANES],
                                                const uint8_t *const seed[CRYPTO_MB_LANES],
                                                const uint8_t *const public[CRYPTO_MB_LANES]);
typedef crypto_mb_status crypto_mb_x25519(uint8_t *const shared[CRYPTO_MB_LANES],
                                          const uint8_t *const private[CRYPTO_MB_LANES],
                                          const uint8_t *const peer[CRYPTO_MB_LANES]);
typedef struct crypto_mb_rsa_method crypto_mb_rsa_method; /* a constant of the library */
typedef const crypto_mb_rsa_method *crypto_mb_rsa_method_of(int modulus_bits);
typedef int crypto_mb_rsa_buffer_bytes(const crypto_mb_rsa_method *method);
typedef crypto_mb_status crypto_mb_rsa_public(const uint8_t *const from[CRYPTO_MB_LANES],
                                              uint8_t *const to[CRYPTO_MB_LANES],
                                              const uint64_t *const n[CRYPTO_MB_LANES], int modulus_bits,
                                              const crypto_mb_rsa_method *method, uint8_t *buffer);
typedef crypto_mb_status
crypto_mb_rsa_private_crt(const uint8_t *const from[CRYPTO_MB_LANES], uint8_t *const to[CRYPTO_MB_LANES],
                          const uint64_t *const p[CRYPTO_MB_LANES], const uint64_t *const q[CRYPTO_MB_LANES],
                          const uint64_t *const dp[CRYPTO_MB_LANES], const uint64_t *const dq[CRYPTO_MB_LANES],
                          const uint64_t *const iq[CRYPTO_MB_LANES], int modulus_bits,
                          const crypto_mb_rsa_method *method, uint8_t *buffer);

/* What was found; NULL where it was not. Tests put their own in. */
struct crypto_mb {
    crypto_mb_ecdsa_sign *p256_sign;
    crypto_mb_p256_sign_setup *p256_sign_setup;
    crypto_mb_p256_sign_complete *p256_sign_complete;
    crypto_mb_ecdsa_sign *p384_sign;
    crypto_mb_ed25519_sign *ed25519_sign;
    crypto_mb_x25519 *x25519;
    crypto_mb_rsa_private_crt *rsa_private_crt;
    crypto_mb_rsa_method_of *rsa_private_crt_method;
    crypto_mb_rsa_public *rsa_public;
    crypto_mb_rsa_method_of *rsa_public_method; /* for the exponent 65537 */
    crypto_mb_rsa_buffer_bytes *rsa_buffer_bytes;
};

extern struct crypto_mb vks_crypto_mb;

/* The functions that this machine's library computes rightly, bits by enum vks_engine_function. */
uint32_t vks_crypto_mb_open(void);

/* Work buffer of the RSA operations, private and public: without one the library takes libc's memory. */
size_t vks_crypto_mb_rsa_buffer_bytes(uint32_t modulus_bits);

/* Known answers, another in each lane; all are of public inputs. */
bool vks_crypto_mb_check_ecdsa(enum vks_engine_function function);
bool vks_crypto_mb_check_ed25519(enum vks_engine_function function);
bool vks_crypto_mb_check_x25519(enum vks_engine_function function);
bool vks_crypto_mb_check_rsa(enum vks_engine_function function);

static inline bool vks_crypto_mb_lane_ok(crypto_mb_status status, uint32_t lane)
{
    return (status >> (4 * lane) & 0xf) == 0;
}

#endif
