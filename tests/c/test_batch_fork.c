/* SPDX-License-Identifier: Apache-2.0 */
/* Engines opened in a zygote: its children use them, in secret memory, and no two children sign with one nonce. */
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "batch.h"
#include "check.h"
#include "crypto_process.h"
#include "engine.h"
#include "key_generate.h"
#include "key_kind.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "vmm_keystore.h"

enum {
    SKIP = 77, /* meson: skipped */
    CHILDREN = 3,
    R_BYTES = 32,
};

struct signatures {
    uint8_t bytes[VKS_BATCH_LANES][2 * R_BYTES];
};

static uint8_t *material;
static size_t material_bytes;

/* One digest, one key, eight times. */
static int sign(void *argument)
{
    static const uint8_t digest[32] = {1};
    struct vks_key_slot slot = {.type = VKS_KEY_TYPE_EC_P256, .material_bytes = (uint32_t)material_bytes};
    struct signatures *signatures = argument;
    struct vks_batch_item items[VKS_BATCH_LANES];
    size_t used = vks_secret_arena_usage().used_bytes;
    struct vks_key *key;

    CHECK_EQUAL("load", vks_key_load(&slot, material, &key), 0);
    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++)
        items[i] = (struct vks_batch_item){.key = key,
                                           .operation = {.op = VKS_OP_SIGN,
                                                         .mechanism = VKS_MECHANISM_ECDSA_SHA256,
                                                         .flags = VKS_REQUEST_F_DIGEST,
                                                         .input = digest,
                                                         .input_bytes = sizeof(digest),
                                                         .output = signatures->bytes[i],
                                                         .output_bytes_max = 2 * R_BYTES}};
    vks_batch_run(items, VKS_BATCH_LANES, VKS_LANE_FAST);
    for (uint32_t i = 0; i < VKS_BATCH_LANES; i++) {
        struct vks_operation verify = items[i].operation;

        CHECK_EQUAL("signed", items[i].status, VKS_STATUS_OK);
        verify.op = VKS_OP_VERIFY;
        verify.parameter = signatures->bytes[i];
        verify.parameter_bytes = 2 * R_BYTES;
        CHECK_EQUAL("verified", vks_operation_run(key, &verify, VKS_LANE_FAST), VKS_STATUS_OK);
    }
    CHECK("in secret memory", vks_secret_arena_usage().used_bytes > used);
    vks_key_unref(key);
    return 0;
}

static void child(int pipe_fd)
{
    struct signatures signatures;

    CHECK("nothing before it is allowed", !vks_engine_serves(VKS_ENGINE_P256_SIGN));
    CHECK_EQUAL("after the fork", vks_crypto_after_fork(0), 0);
    vks_engines_allow(UINT32_MAX);
    CHECK("inherited", vks_engine_serves(VKS_ENGINE_P256_SIGN));
    CHECK_EQUAL("sign", vks_secret_call(sign, &signatures), 0);
    CHECK_EQUAL("told", write(pipe_fd, &signatures, sizeof(signatures)), sizeof(signatures));
    _exit(0);
}

int main(void)
{
    static struct signatures made[CHILDREN];
    const uint8_t *r[CHILDREN * VKS_BATCH_LANES];

    CHECK_EQUAL("start", vks_crypto_start_public(), 0);
    vks_engines_open();
    CHECK_EQUAL("warm up", vks_crypto_warm_up(), 0);
    if (!(vks_engines_found() >> VKS_ENGINE_P256_SIGN & 1)) {
        fprintf(stderr, "skipped: no library for P-256 here\n");
        return SKIP;
    }
    CHECK_EQUAL("generate", vks_key_generate(vks_key_kind_find(VKS_KEY_TYPE_EC_P256), &material, &material_bytes), 0);
    for (uint32_t i = 0; i < CHILDREN; i++) {
        int ends[2], status;
        pid_t pid;

        CHECK_EQUAL("pipe", pipe(ends), 0);
        pid = fork();
        CHECK("fork", pid >= 0);
        if (pid == 0)
            child(ends[1]);
        close(ends[1]);
        CHECK_EQUAL("signatures", read(ends[0], &made[i], sizeof(made[i])), sizeof(made[i]));
        CHECK("ended well", waitpid(pid, &status, 0) == pid && status == 0);
        close(ends[0]);
    }
    for (uint32_t i = 0; i < CHILDREN * VKS_BATCH_LANES; i++) {
        r[i] = made[i / VKS_BATCH_LANES].bytes[i % VKS_BATCH_LANES];
        for (uint32_t j = 0; j < i; j++)
            CHECK("r differs", memcmp(r[i], r[j], R_BYTES) != 0);
    }
    return 0;
}
