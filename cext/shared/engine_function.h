/* SPDX-License-Identifier: Apache-2.0 */
/* What an engine can take over from libcrypto: bits of masks in messages, names for administrators in Python. */
#ifndef VKS_ENGINE_FUNCTION_H
#define VKS_ENGINE_FUNCTION_H

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
    VKS_ENGINE_P256_NONCES = 9, /* made in advance */
    VKS_ENGINE_FUNCTIONS = 10,
};

enum vks_engine {
    VKS_ENGINE_LIBCRYPTO = 0,
    VKS_ENGINE_CRYPTO_MB = 1,
    VKS_ENGINE_IPSEC_MB = 2,
};

#endif
