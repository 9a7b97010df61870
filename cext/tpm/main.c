/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-tpm: has a TPM seal a secret or give it back, and wraps that to an offer of the custodian, so that no Python
 * process sees it and neither libtss2 nor the TPM's answers come into the process with the KEK. keystored runs it.
 *
 *   vks-tpm seal OFFER FD     writes the wrapped secret (VKS_IMPORT_WRAPPED_OVERHEAD + 32 bytes), then the TPM's blob
 *   vks-tpm unseal OFFER FD   reads the blob, writes the wrapped secret
 *
 * OFFER is id and public key, 96 hex digits; FD the TPM's descriptor. Exit codes: 1 ours, 2 usage, 3 the TPM does not
 * answer, 4 it refuses.
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <tss2/tss2_common.h>
#include <tss2/tss2_tpm2_types.h>
#include <unistd.h>

#include "crypto_process.h"
#include "descriptor_program.h"
#include "secret_heap.h"
#include "import_wrap.h"
#include "offer_text.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "stream.h"
#include "tpm_seal.h"

enum {
    EXIT_OURS = 1,
    EXIT_USAGE = 2,
    EXIT_SILENT = 3,
    EXIT_REFUSED = 4,
    LAYER_SHIFT = 16,
    FORMAT_1_MASK = 0x80,
    FORMAT_1_ERROR_MASK = 0xbf, /* without number of parameter, handle or session (Part 2, 6.6.2) */
    WRAPPED_BYTES = VKS_IMPORT_WRAPPED_OVERHEAD + VKS_TPM_SECRET_BYTES,
};

struct task {
    bool seals;
    int tpm;
    struct vks_custodian_offer offer;
};

static void say(const char *text)
{
    (void)!write(STDERR_FILENO, text, strlen(text));
}

static int fail(int code, const char *text)
{
    say("vks-tpm: ");
    say(text);
    say("\n");
    return code;
}

static int refuse(uint32_t rc)
{
    uint32_t error = rc & FORMAT_1_MASK ? rc & FORMAT_1_ERROR_MASK : rc;
    char text[64];

    if (rc >> LAYER_SHIFT == TSS2_TCTI_RC_LAYER >> LAYER_SHIFT)
        return fail(EXIT_SILENT,
                    "the tpm does not answer as a tpm\nhint: it must be a TPM 2.0 with a resource manager");
    if (rc >> LAYER_SHIFT == 0 && error == TPM2_RC_INTEGRITY)
        return fail(EXIT_REFUSED, "this tpm did not seal the key encryption key, or was cleared since");
    if (rc >> LAYER_SHIFT == 0 && (error == TPM2_RC_BAD_AUTH || error == TPM2_RC_AUTH_FAIL))
        return fail(EXIT_REFUSED, "the owner hierarchy of the tpm takes a password");
    snprintf(text, sizeof(text), "the tpm refused: error 0x%x", rc);
    return fail(EXIT_REFUSED, text);
}

static int run(void *argument)
{
    static uint8_t blob[VKS_TPM_BLOB_BYTES_MAX];
    static uint8_t wrapped[WRAPPED_BYTES];
    const struct task *task = argument;
    uint8_t *secret = vks_secret_alloc(VKS_TPM_SECRET_BYTES);
    size_t blob_bytes = 0;
    uint32_t rc;

    if (secret == NULL || (!task->seals && vks_stream_read(STDIN_FILENO, blob, sizeof(blob), &blob_bytes)))
        return fail(EXIT_OURS, "cannot read the blob");
    rc = task->seals ? vks_tpm_seal(task->tpm, secret, blob, &blob_bytes)
                     : vks_tpm_unseal(task->tpm, blob, blob_bytes, secret);
    if (rc)
        return refuse(rc);
    if (vks_import_wrap(&task->offer, VKS_TYPE_ROOT_SECRET, secret, VKS_TPM_SECRET_BYTES, wrapped))
        return fail(EXIT_OURS, "cannot wrap to this offer");
    vks_secret_free(secret);
    if (vks_stream_write(STDOUT_FILENO, wrapped, sizeof(wrapped)) ||
        (task->seals && vks_stream_write(STDOUT_FILENO, blob, blob_bytes)))
        return fail(EXIT_OURS, "cannot write the result");
    return 0;
}

int main(int count, char **words)
{
    struct task task;
    int code;

    if (count != 4 || vks_offer_parse(words[2], &task.offer) || vks_stream_parse_fd(words[3], &task.tpm) ||
        (strcmp(words[1], "seal") != 0 && strcmp(words[1], "unseal") != 0))
        return fail(EXIT_USAGE, "usage: vks-tpm seal|unseal OFFER FD");
    task.seals = strcmp(words[1], "seal") == 0;
    /* It would write to files and the terminal by itself. */
    setenv("TSS2_LOG", "all+none", 1);
    if (vks_crypto_start())
        return fail(EXIT_OURS, "cannot set up secret memory\nhint: raise the limit on locked memory (ulimit -l)");
    vks_heap_begin();
    if (vks_descriptor_program_confine(NULL, 0))
        return fail(EXIT_OURS, "cannot set up the sandbox");
    code = vks_secret_call(run, &task);
    return code < 0 ? fail(EXIT_OURS, "cannot set up secret memory") : code;
}
