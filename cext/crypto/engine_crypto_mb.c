/* SPDX-License-Identifier: Apache-2.0 */
/* Opening libcrypto_mb. Knows its names and what it needs of a processor; must not know keys. */
#include "engine_crypto_mb.h"

#include <dlfcn.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

/* The latest first; the interface is one. */
static const char *const sonames[] = {"libcrypto_mb.so.13", "libcrypto_mb.so.12", "libcrypto_mb.so.11"};

struct crypto_mb vks_crypto_mb;

static const struct {
    const char *name;
    size_t offset;
} symbols[] = {
    {"mbx_nistp256_ecdsa_sign_mb8", offsetof(struct crypto_mb, p256_sign)},
    {"mbx_nistp384_ecdsa_sign_mb8", offsetof(struct crypto_mb, p384_sign)},
    {"mbx_ed25519_sign_mb8", offsetof(struct crypto_mb, ed25519_sign)},
    {"mbx_x25519_mb8", offsetof(struct crypto_mb, x25519)},
    {"mbx_rsa_private_crt_mb8", offsetof(struct crypto_mb, rsa_private_crt)},
    {"mbx_RSA_private_crt_Method", offsetof(struct crypto_mb, rsa_private_crt_method)},
    {"mbx_rsa_public_mb8", offsetof(struct crypto_mb, rsa_public)},
    {"mbx_RSA_pub65537_Method", offsetof(struct crypto_mb, rsa_public_method)},
    {"mbx_RSA_Method_BufSize", offsetof(struct crypto_mb, rsa_buffer_bytes)},
};

static const struct {
    enum vks_engine_function function;
    const char *name;
    bool (*check)(enum vks_engine_function function);
} checks[] = {
    {VKS_ENGINE_P256_SIGN, "ECDSA P-256", vks_crypto_mb_check_ecdsa},
    {VKS_ENGINE_P384_SIGN, "ECDSA P-384", vks_crypto_mb_check_ecdsa},
    {VKS_ENGINE_ED25519_SIGN, "Ed25519", vks_crypto_mb_check_ed25519},
    {VKS_ENGINE_X25519_DERIVE, "X25519", vks_crypto_mb_check_x25519},
    {VKS_ENGINE_RSA_2048_SIGN, "RSA-2048", vks_crypto_mb_check_rsa},
    {VKS_ENGINE_RSA_3072_SIGN, "RSA-3072", vks_crypto_mb_check_rsa},
    {VKS_ENGINE_RSA_4096_SIGN, "RSA-4096", vks_crypto_mb_check_rsa},
};

static bool processor_suits(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
           __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl") &&
           __builtin_cpu_supports("avx512ifma") && __builtin_cpu_supports("avx512vbmi2") &&
           __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

/* All or none of what belongs together is there: a library of ours to be has every name. */
static bool take_symbols(void *library)
{
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++) {
        void *symbol = dlsym(library, symbols[i].name);

        if (symbol == NULL)
            return false;
        memcpy((char *)&vks_crypto_mb + symbols[i].offset, &symbol, sizeof(symbol));
    }
    return true;
}

size_t vks_crypto_mb_rsa_buffer_bytes(uint32_t modulus_bits)
{
    int private_bytes = vks_crypto_mb.rsa_buffer_bytes(vks_crypto_mb.rsa_private_crt_method((int)modulus_bits));
    int public_bytes = vks_crypto_mb.rsa_buffer_bytes(vks_crypto_mb.rsa_public_method((int)modulus_bits));

    return (size_t)(private_bytes > public_bytes ? private_bytes : public_bytes);
}

uint32_t vks_crypto_mb_open(void)
{
    const char *soname = NULL;
    void *library = NULL;
    uint32_t found = 0;

    if (!processor_suits())
        return 0;
    for (size_t i = 0; i < sizeof(sonames) / sizeof(sonames[0]) && library == NULL; i++) {
        soname = sonames[i];
        library = dlopen(soname, RTLD_NOW | RTLD_LOCAL);
    }
    if (library == NULL)
        return 0;
    if (!take_symbols(library)) {
        fprintf(stderr, "engine: %s lacks functions and is not used\n", soname);
        return 0;
    }
    for (size_t i = 0; i < sizeof(checks) / sizeof(checks[0]); i++) {
        if (checks[i].check(checks[i].function))
            found |= UINT32_C(1) << checks[i].function;
        else
            fprintf(stderr, "engine: %s computes %s wrongly; libcrypto does that\n", soname, checks[i].name);
    }
    return found;
}
