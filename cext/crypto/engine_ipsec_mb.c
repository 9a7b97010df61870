/* SPDX-License-Identifier: Apache-2.0 */
/* Opening libipsec-mb. Knows its structures and what it needs of a processor; must not know keys. */
#include "engine_ipsec_mb.h"

#include <dlfcn.h>
#include <intel-ipsec-mb.h>
#include <stdio.h>
#include <string.h>

#include "secret_arena.h"

_Static_assert(sizeof(struct gcm_context_data) <= IPSEC_MB_GCM_CONTEXT_BYTES, "a context has room");

struct ipsec_mb vks_ipsec_mb;

static struct {
    unsigned (*version)(void);
    size_t (*manager_bytes)(void);
    IMB_MGR *(*manager_set)(void *memory, uint64_t flags, unsigned reset);
    void (*manager_start)(IMB_MGR *manager, IMB_ARCH *arch);
} library;

static bool processor_suits(void)
{
#ifdef __x86_64__
    __builtin_cpu_init();
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("aes") && __builtin_cpu_supports("pclmul") &&
           __builtin_cpu_supports("bmi2");
#else
    return false;
#endif
}

static bool take(void *handle, const char *name, void *function)
{
    void *symbol = dlsym(handle, name);

    memcpy(function, &symbol, sizeof(symbol));
    return symbol != NULL;
}

/* The manager's layout may change with the second number. */
static bool version_fits(void)
{
    return library.version() >> 8 == IMB_VERSION_NUM >> 8;
}

static IMB_MGR *manager_make(void *memory)
{
    IMB_MGR *manager = library.manager_set(vks_ipsec_mb_align(memory), 0, 1);
    IMB_ARCH arch = IMB_ARCH_NONE;

    if (manager == NULL)
        return NULL;
    library.manager_start(manager, &arch);
    if (manager->imb_errno != 0 || (manager->features & IMB_CPUFLAGS_AVX2) != IMB_CPUFLAGS_AVX2)
        return NULL;
    /* Built without wiping what it leaves in registers and on the stack, it is not for keys. */
    return manager->features & IMB_FEATURE_SAFE_DATA ? manager : NULL;
}

void *vks_ipsec_mb_manager_new(void)
{
    void *memory = vks_secret_alloc(library.manager_bytes() + IPSEC_MB_ALIGNMENT);
    void *manager = memory ? manager_make(memory) : NULL;

    if (manager == NULL)
        vks_secret_free(memory);
    return manager;
}

static bool hmac_sha256(void *manager, const struct ipsec_mb_hmac *messages, uint32_t count)
{
    IMB_JOB jobs[IPSEC_MB_BURST_MAX];
    bool done;

    if (count > IPSEC_MB_BURST_MAX)
        return false;
    memset(jobs, 0, sizeof(jobs));
    for (uint32_t i = 0; i < count; i++) {
        jobs[i].src = messages[i].message;
        jobs[i].msg_len_to_hash_in_bytes = messages[i].message_bytes;
        jobs[i].auth_tag_output = messages[i].tag;
        jobs[i].auth_tag_output_len_in_bytes = IPSEC_MB_HMAC_BYTES;
        jobs[i].u.HMAC._hashed_auth_key_xor_ipad = messages[i].inner;
        jobs[i].u.HMAC._hashed_auth_key_xor_opad = messages[i].outer;
        jobs[i].hash_alg = IMB_AUTH_HMAC_SHA_256;
        jobs[i].cipher_mode = IMB_CIPHER_NULL;
    }
    done = IMB_SUBMIT_HASH_BURST((IMB_MGR *)manager, jobs, count, IMB_AUTH_HMAC_SHA_256) == count;
    for (uint32_t i = 0; i < count; i++)
        done = done && jobs[i].status == IMB_STATUS_COMPLETED;
    return done;
}

static void fill_table(const IMB_MGR *manager)
{
    vks_ipsec_mb = (struct ipsec_mb){
        .gcm_key_bytes = sizeof(struct gcm_key_data),
        .gcm_expand = {manager->gcm128_pre, manager->gcm256_pre},
        .gcm_encrypt = {manager->gcm128_enc, manager->gcm256_enc},
        .gcm_decrypt = {manager->gcm128_dec, manager->gcm256_dec},
        .sha256_one_block = manager->sha256_one_block,
        .hmac_sha256 = hmac_sha256,
    };
}

static uint32_t check(const char *soname, IMB_MGR *manager)
{
    uint32_t right = 0;

    fill_table(manager);
    if (vks_ipsec_mb_check_gcm())
        right |= UINT32_C(1) << VKS_ENGINE_AES_GCM;
    else
        fprintf(stderr, "engine: %s computes AES-GCM wrongly; libcrypto does that\n", soname);
    if (vks_ipsec_mb_check_hmac(manager))
        right |= UINT32_C(1) << VKS_ENGINE_HMAC_SHA256;
    else
        fprintf(stderr, "engine: %s computes HMAC-SHA-256 wrongly; libcrypto does that\n", soname);
    return right;
}

uint32_t vks_ipsec_mb_open(void)
{
    uint32_t found = 0;
    IMB_MGR *manager;
    char soname[32];
    void *memory;
    void *handle;

    snprintf(soname, sizeof(soname), "libIPSec_MB.so.%d", IMB_VERSION_NUM >> 16);
    if (!processor_suits() || (handle = dlopen(soname, RTLD_NOW | RTLD_LOCAL)) == NULL)
        return 0;
    if (!take(handle, "imb_get_version", &library.version) ||
        !take(handle, "imb_get_mb_mgr_size", &library.manager_bytes) ||
        !take(handle, "imb_set_pointers_mb_mgr", &library.manager_set) ||
        !take(handle, "init_mb_mgr_auto", &library.manager_start) || !version_fits()) {
        fprintf(stderr, "engine: %s is not of version %s and is not used\n", soname, IMB_VERSION_STR);
        return 0;
    }
    memory = vks_secret_alloc(library.manager_bytes() + IPSEC_MB_ALIGNMENT);
    manager = memory ? manager_make(memory) : NULL;
    if (manager)
        found = check(soname, manager);
    else
        fprintf(stderr, "engine: %s does not start and is not used\n", soname);
    vks_secret_free(memory);
    return found;
}
