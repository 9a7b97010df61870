/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-recovery: splits the KEK into shares, or makes a KEK file of shares. A program of its own, whose whole heap is
 * secret memory: the KEK comes here encrypted to its one-time key, and no Python process sees it or a share.
 *
 *   vks-recovery split THRESHOLD FD...   writes an offer (96 hex digits and a line end), reads the custodian's
 *                                        vks_custodian_export for it, and writes a share to each FD
 *   vks-recovery combine KEK FD...       reads a share from each FD, writes a KEK file (in the clear) to the empty file
 *                                        behind the descriptor KEK, and the KEK's id (16 hex digits and a line end)
 *
 * Exit codes: 1 ours, 2 usage, 3 the shares are no good.
 */
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto_process.h"
#include "descriptor_program.h"
#include "import_wrap.h"
#include "offers.h"
#include "secret_arena.h"
#include "secret_heap.h"
#include "secret_stack.h"
#include "share.h"
#include "share_text.h"
#include "stream.h"

enum {
    EXIT_OURS = 1,
    EXIT_USAGE = 2,
    EXIT_SHARES = 3,
};

/* Of the KEK file that is made, and of the shares. */
static const struct vks_syscall_rule file_calls[] = {
    VKS_SYSCALL(pwrite64),
    VKS_SYSCALL(fstat),
    VKS_SYSCALL(fsync),
};

struct task {
    bool splits;
    int first; /* threshold, or the KEK file */
    uint8_t fd_count;
    int fds[VKS_SHARE_COUNT_MAX];
};

static int fail(int code, const char *text)
{
    (void)!vks_stream_write(STDERR_FILENO, "vks-recovery: ", strlen("vks-recovery: "));
    (void)!vks_stream_write(STDERR_FILENO, text, strlen(text));
    (void)!vks_stream_write(STDERR_FILENO, "\n", 1);
    return code;
}

static int write_hex(const void *bytes, size_t size_bytes)
{
    char line[2 * sizeof(struct vks_custodian_offer) + 2];

    for (size_t i = 0; i < size_bytes; i++)
        snprintf(line + 2 * i, 3, "%02x", ((const uint8_t *)bytes)[i]);
    line[2 * size_bytes] = '\n';
    return vks_stream_write(STDOUT_FILENO, line, 2 * size_bytes + 1);
}

/* The KEK, in the arena, and its id. 0 or a negative errno; -EBADMSG: not for this offer. */
static int receive_kek(uint8_t **kek, uint8_t kek_id[VKS_KEK_ID_BYTES])
{
    struct vks_custodian_export export;
    struct vks_custodian_offer offer;
    EVP_PKEY *private_key = NULL;
    size_t size_bytes = 0;
    uint32_t type = 0;
    int error = vks_offer_make(&offer);

    *kek = NULL;
    if (!error)
        error = write_hex(&offer, sizeof(offer));
    if (!error)
        error = vks_stream_read(STDIN_FILENO, &export, sizeof(export), &size_bytes);
    if (!error && size_bytes != sizeof(export))
        error = -ENODATA;
    if (!error)
        error = vks_offer_take(offer.offer_id, &offer, &private_key);
    if (!error)
        error = vks_import_unwrap(&offer, private_key, export.wrapped, sizeof(export.wrapped), &type, kek, &size_bytes);
    EVP_PKEY_free(private_key);
    if (!error)
        error = type == VKS_TYPE_KEK && size_bytes == VKS_KEK_BYTES ? vks_kek_id(*kek, kek_id) : -EBADMSG;
    if (!error && memcmp(kek_id, export.kek_id, VKS_KEK_ID_BYTES) != 0)
        error = -EBADMSG;
    return error;
}

static int write_share(int fd, const struct vks_share *share, char *text)
{
    size_t size_bytes;

    if (vks_share_format(share, text, &size_bytes) || vks_stream_write(fd, text, size_bytes))
        return -EIO;
    return fsync(fd) == 0 || errno == EINVAL ? 0 : -errno; /* a pipe has nothing to sync */
}

static int split(const struct task *task)
{
    struct vks_share *shares = vks_secret_alloc(sizeof(*shares) * task->fd_count);
    char *text = vks_secret_alloc(VKS_SHARE_TEXT_BYTES_MAX);
    uint8_t kek_id[VKS_KEK_ID_BYTES];
    uint8_t *kek = NULL;
    int error = shares && text ? receive_kek(&kek, kek_id) : -ENOMEM;

    if (error == -ENODATA)
        return fail(EXIT_OURS, "nothing came for the offer");
    if (error)
        return fail(EXIT_OURS, "what came is no key encryption key that was wrapped to the offer");
    error = vks_share_split(kek, kek_id, (uint8_t)task->first, task->fd_count, shares);
    vks_secret_free(kek);
    if (error)
        return fail(EXIT_OURS, "cannot make shares that give the key encryption key again");
    for (uint8_t i = 0; i < task->fd_count && !error; i++)
        error = write_share(task->fds[i], &shares[i], text);
    vks_secret_free(shares);
    vks_secret_free(text);
    return error ? fail(EXIT_OURS, "cannot write a share") : 0;
}

/* Say which of the files is no good; they are counted from 1, as they were given. */
static int refuse_file(uint8_t number, const char *what)
{
    char text[128];

    snprintf(text, sizeof(text), "share file %u %s", number, what);
    return fail(EXIT_SHARES, text);
}

static int read_shares(const struct task *task, struct vks_share *shares)
{
    char *text = vks_secret_alloc(VKS_SHARE_TEXT_BYTES_MAX);
    int code = text ? 0 : fail(EXIT_OURS, "no secret memory is left");

    for (uint8_t i = 0; i < task->fd_count && code == 0; i++) {
        size_t size_bytes;
        int error = vks_stream_read(task->fds[i], text, VKS_SHARE_TEXT_BYTES_MAX, &size_bytes);

        if (!error)
            error = size_bytes < VKS_SHARE_TEXT_BYTES_MAX ? vks_share_parse(text, size_bytes, &shares[i]) : -EINVAL;
        if (error == -EBADMSG)
            code = refuse_file(i + 1, "has a wrong digit\nhint: compare it with the paper");
        else if (error)
            code = refuse_file(i + 1, "is no share of a key encryption key");
    }
    vks_secret_free(text);
    return code;
}

static int refuse_set(int error, uint8_t threshold)
{
    char text[64];

    if (error == -EXDEV)
        return fail(EXIT_SHARES, "the shares are not of one set\nhint: their second lines must name the same set");
    if (error == -EEXIST)
        return fail(EXIT_SHARES, "one share was given twice");
    if (error == -EBADMSG || error == -EINVAL)
        return fail(EXIT_SHARES, "the shares do not give the key encryption key that they are of");
    if (error != -EAGAIN)
        return fail(EXIT_OURS, "cannot combine the shares");
    snprintf(text, sizeof(text), "too few shares: %u of their set are needed", threshold);
    return fail(EXIT_SHARES, text);
}

static int combine(const struct task *task)
{
    static const struct vks_root_secret_input no_secret;
    static const struct vks_root_blob no_blob;
    struct vks_share *shares = vks_secret_alloc(sizeof(*shares) * task->fd_count);
    uint8_t *kek = vks_secret_alloc(VKS_KEK_BYTES);
    int code = shares && kek ? read_shares(task, shares) : fail(EXIT_OURS, "no secret memory is left");
    int error;

    if (code)
        return code;
    error = vks_share_combine(shares, task->fd_count, kek);
    if (error)
        return refuse_set(error, shares[0].threshold);
    error = vks_root_file_write(task->first, VKS_ROOT_FILE, &no_secret, &no_blob, kek);
    vks_secret_free(kek);
    if (error == -EEXIST)
        return fail(EXIT_OURS, "the file for the key encryption key is not empty");
    if (error || write_hex(shares[0].kek_id, VKS_KEK_ID_BYTES))
        return fail(EXIT_OURS, "cannot write the key encryption key");
    vks_secret_free(shares);
    return 0;
}

static int run(void *argument)
{
    const struct task *task = argument;

    return task->splits ? split(task) : combine(task);
}

static int parse(int count, char **words, struct task *task)
{
    if (count < 4 || count - 3 > VKS_SHARE_COUNT_MAX || vks_stream_parse_fd(words[2], &task->first))
        return -EINVAL;
    task->splits = strcmp(words[1], "split") == 0;
    if (!task->splits && strcmp(words[1], "combine") != 0)
        return -EINVAL;
    task->fd_count = (uint8_t)(count - 3);
    for (uint8_t i = 0; i < task->fd_count; i++)
        if (vks_stream_parse_fd(words[3 + i], &task->fds[i]))
            return -EINVAL;
    if (task->splits && (task->first < VKS_SHARE_THRESHOLD_MIN || task->first > task->fd_count))
        return -EINVAL;
    return 0;
}

int main(int count, char **words)
{
    struct task task;
    int code;

    if (parse(count, words, &task))
        return fail(EXIT_USAGE, "usage: vks-recovery split THRESHOLD FD... | combine KEK FD...");
    if (vks_crypto_start())
        return fail(EXIT_OURS, "cannot set up secret memory\nhint: raise the limit on locked memory (ulimit -l)");
    vks_heap_begin();
    if (vks_descriptor_program_confine(file_calls, sizeof(file_calls) / sizeof(file_calls[0])))
        return fail(EXIT_OURS, "cannot set up the sandbox");
    code = vks_secret_call(run, &task);
    return code < 0 ? fail(EXIT_OURS, "cannot set up secret memory") : code;
}
