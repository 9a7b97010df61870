/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-hsm-root: has a PKCS#11 token give a secret, and wraps that to an offer of the custodian, so that no Python
 * process sees it and the vendor's module does not come into the process with the KEK. keystored runs it.
 *
 *   vks-hsm-root seal OFFER FD MODULE [LABEL]   writes the wrapped secret (VKS_IMPORT_WRAPPED_OVERHEAD + 32 bytes), the
 *                                               blob (VKS_ROOT_HSM_BLOB_BYTES) and the token's label (32)
 *   vks-hsm-root unseal OFFER FD MODULE         reads the blob, writes the wrapped secret and the token's label
 *
 * OFFER is id and public key, 96 hex digits; FD the descriptor of the file with the PIN. Exit codes: hsm_error.h.
 *
 * The module is foreign code that opens files and sockets as it likes, so there is no system-call filter here; nor is
 * its heap ours. What it may not have is said in SECURITY.md.
 */
#include <fcntl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "crypto_process.h"
#include "import_wrap.h"
#include "offer_text.h"
#include "hsm_secret.h"
#include "hsm_text.h"
#include "sandbox.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "stream.h"
#include "token_pin.h"

enum {
    WRAPPED_BYTES = VKS_IMPORT_WRAPPED_OVERHEAD + VKS_HSM_SECRET_BYTES,
    FIRST_FOREIGN_FD = 3,
};

struct task {
    bool seals;
    int pin;
    const char *module;
    const char *label; /* NULL: whichever token there is */
    struct vks_custodian_offer offer;
    uint8_t *secret; /* in the arena */
    uint8_t wrapped[WRAPPED_BYTES];
    uint8_t blob[VKS_ROOT_HSM_BLOB_BYTES];
    uint8_t token_label[VKS_TOKEN_LABEL_BYTES];
};

static struct task task;
static int result_fd, complaint_fd;

static void say(const char *text)
{
    (void)!write(complaint_fd, text, strlen(text));
}

static int fail(int code, const char *text)
{
    say("vks-hsm-root: ");
    say(text);
    say("\n");
    return code;
}

/* What a token calls itself may be anything: letters, digits and the like of it only. */
static void say_serial(const uint8_t serial[VKS_HSM_BLOB_SERIAL_BYTES])
{
    char text[VKS_HSM_BLOB_SERIAL_BYTES + 2] = {' '};
    size_t last = 0;

    for (size_t i = 0; i < VKS_HSM_BLOB_SERIAL_BYTES; i++) {
        text[i + 1] = serial[i] >= ' ' && serial[i] <= '~' ? (char)serial[i] : '?';
        if (text[i + 1] != ' ')
            last = i + 1;
    }
    text[last + 1] = '\0';
    say(text);
}

static int explain(enum vks_hsm_error error, CK_RV rv, const struct vks_hsm_blob *blob)
{
    char text[VKS_HSM_TEXT_BYTES];

    vks_hsm_text(text, error, rv);
    say("vks-hsm-root: ");
    say(text);
    if (error == VKS_HSM_TOKEN_ABSENT)
        say_serial(blob->serial);
    say("\n");
    return vks_hsm_error_exit(error);
}

/* Standard output and error are the module's to write to, and lead nowhere; *result_fd* and *complaint_fd* are ours. */
static int part_outputs(void)
{
    int nowhere = open("/dev/null", O_RDWR | O_CLOEXEC);

    complaint_fd = STDERR_FILENO;
    result_fd = fcntl(STDOUT_FILENO, F_DUPFD_CLOEXEC, FIRST_FOREIGN_FD);
    if (nowhere < 0 || result_fd < 0)
        return -1;
    complaint_fd = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, FIRST_FOREIGN_FD);
    if (complaint_fd < 0) {
        complaint_fd = STDERR_FILENO;
        return -1;
    }
    return dup2(nowhere, STDOUT_FILENO) < 0 || dup2(nowhere, STDERR_FILENO) < 0 ? -1 : 0;
}

static enum vks_hsm_error ask(struct vks_module *module, struct vks_hsm_blob *blob)
{
    struct vks_token token;
    size_t pin_bytes = 0;
    uint8_t *pin = NULL;
    enum vks_hsm_error error = task.seals ? vks_token_find_label(&token, module, task.label)
                                          : vks_token_find_serial(&token, module, blob->serial);

    if (!error)
        error = vks_token_pin_read(task.pin, &pin, &pin_bytes);
    if (!error)
        error = vks_token_open(&token, pin, pin_bytes, task.seals);
    vks_secret_free(pin);
    if (error)
        return error;
    error =
        task.seals ? vks_hsm_secret_make(&token, blob, task.secret) : vks_hsm_secret_find(&token, blob, task.secret);
    vks_token_close(&token);
    memcpy(task.token_label, token.label, sizeof(task.token_label));
    return error;
}

static int run(void)
{
    struct vks_hsm_blob blob = {0};
    struct vks_module module;
    bool threads = false;
    enum vks_hsm_error error = vks_module_load(&module, task.module, &threads);

    if (error)
        return explain(error, module.rv, &blob);
    vks_module_lock_memory();
    if (!task.seals && vks_hsm_blob_parse(task.blob, sizeof(task.blob), &blob))
        error = VKS_HSM_BLOB;
    if (!error)
        error = ask(&module, &blob);
    /* At once: a module that hangs or crashes over its end must not hide that a PIN was refused. */
    if (error)
        return explain(error, module.rv, &blob);
    vks_module_end(&module);
    if (task.seals)
        vks_hsm_blob_write(&blob, task.blob);
    return 0;
}

static int wrap(void *unused)
{
    (void)unused;
    return vks_import_wrap(&task.offer, VKS_TYPE_ROOT_SECRET, task.secret, VKS_HSM_SECRET_BYTES, task.wrapped);
}

static int write_result(void)
{
    int error = vks_stream_write(result_fd, task.wrapped, sizeof(task.wrapped));

    if (!error && task.seals)
        error = vks_stream_write(result_fd, task.blob, sizeof(task.blob));
    return error ? error : vks_stream_write(result_fd, task.token_label, sizeof(task.token_label));
}

/* Exactly one blob: a byte more is one too many. */
static enum vks_hsm_error read_blob(void)
{
    uint8_t bytes[VKS_ROOT_HSM_BLOB_BYTES + 1];
    size_t size_bytes = 0;

    if (vks_stream_read(STDIN_FILENO, bytes, sizeof(bytes), &size_bytes))
        return VKS_HSM_OURS;
    if (size_bytes != sizeof(task.blob))
        return VKS_HSM_BLOB;
    memcpy(task.blob, bytes, sizeof(task.blob));
    return VKS_HSM_OK;
}

static int work(void)
{
    enum vks_hsm_error error = task.seals ? VKS_HSM_OK : read_blob();
    int code;

    if (error)
        return explain(error, CKR_OK, NULL);
    task.secret = vks_secret_alloc(VKS_HSM_SECRET_BYTES);
    code = task.secret ? run() : fail(VKS_HSM_EXIT_OURS, "no secret memory left");
    if (code == 0 && vks_secret_call(wrap, NULL))
        code = fail(VKS_HSM_EXIT_OURS, "cannot wrap to this offer");
    vks_secret_free(task.secret);
    if (code == 0 && write_result())
        code = fail(VKS_HSM_EXIT_OURS, "cannot write the result");
    return code;
}

int main(int count, char **words)
{
    bool outputs = part_outputs() == 0;

    if (count > 1)
        task.seals = strcmp(words[1], "seal") == 0;
    if (count < 5 || count > (task.seals ? 6 : 5) || (!task.seals && strcmp(words[1], "unseal") != 0) ||
        vks_offer_parse(words[2], &task.offer) || vks_stream_parse_fd(words[3], &task.pin))
        return fail(VKS_HSM_EXIT_USAGE, "usage: vks-hsm-root seal|unseal OFFER FD MODULE [LABEL]");
    task.module = words[4];
    task.label = words[5]; /* NULL behind the last word */
    if (!outputs)
        return fail(VKS_HSM_EXIT_OURS, "cannot set up its outputs");
    if (vks_crypto_start())
        return fail(VKS_HSM_EXIT_OURS,
                    "cannot set up secret memory\nhint: raise the limit on locked memory (ulimit -l)");
    /* A module that hangs must not outlive whoever looks at the time. */
    if (vks_sandbox_confine_user(0) || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return fail(VKS_HSM_EXIT_OURS, "cannot set up the sandbox");
    /* What the module has to say at the end of a process, nobody needs; some crash over it. */
    _exit(work());
}
