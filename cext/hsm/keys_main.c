/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-hsm: the keys of one PKCS#11 token, for the workers of guests that may use them. Descriptor 3 is its control
 * socket; it ends with it, when the token is gone, and when a call of the module does not return.
 *
 * It holds a vendor's module, which is foreign code and does what it likes: so no system-call filter and no secret
 * heap here, as in vks-hsm-root; and nothing of the vault but the PIN. The main thread never calls the module once the
 * token is open, and so answers keystored whatever the token does.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "clients.h"
#include "crypto_process.h"
#include "hsm_text.h"
#include "ipc_socket.h"
#include "sandbox.h"
#include "secret_arena.h"
#include "sessions.h"
#include "token.h"
#include "token_pin.h"

enum {
    CONTROL_FD = 3,
    FIRST_CLIENT = 2, /* in what is polled */
    LOOK_MS = 1000,
    PATH_BYTES_MAX = 4096,
};

static struct vks_ipc_message message;
static struct vks_module module;
static struct vks_token token;

static _Noreturn void end(int code, const char *what)
{
    fprintf(stderr, "vks-hsm: %s\n", what);
    /* What the module has to say at the end of a process, nobody needs; some crash over it. */
    _exit(code);
}

static enum vks_hsm_error log_in(const uint8_t label[32], int pin_fd)
{
    char name[VKS_TOKEN_LABEL_BYTES + 1] = {0};
    size_t pin_bytes = 0;
    uint8_t *pin = NULL;
    enum vks_hsm_error error;

    memcpy(name, label, VKS_TOKEN_LABEL_BYTES);
    error = vks_token_find_label(&token, &module, name[0] ? name : NULL);
    if (!error)
        error = vks_token_pin_read(pin_fd, &pin, &pin_bytes);
    if (!error)
        error = vks_token_open(&token, pin, pin_bytes, true);
    if (error == VKS_HSM_REFUSED && module.rv == CKR_TOKEN_WRITE_PROTECTED)
        error = vks_token_open(&token, pin, pin_bytes, false);
    vks_secret_free(pin);
    return error;
}

/* The first message. Whatever comes of it is answered; where the token does not open, that is all. */
static void serve_open(void)
{
    const uint8_t *body = vks_ipc_body(&message);
    uint32_t rest_bytes = vks_ipc_body_bytes(&message) - (uint32_t)sizeof(struct vks_hsm_open);
    struct vks_hsm_opened opened = {0};
    char path[PATH_BYTES_MAX] = {0};
    struct vks_hsm_open asked;
    bool threads = true;
    enum vks_hsm_error error;

    memcpy(&asked, body, sizeof(asked));
    if (asked.path_bytes != rest_bytes || rest_bytes >= sizeof(path))
        end(VKS_HSM_EXIT_OURS, "control socket: protocol error");
    memcpy(path, body + sizeof(asked), rest_bytes);
    error = vks_module_load(&module, path, &threads);
    if (!error) {
        vks_module_lock_memory();
        error = log_in(asked.label, message.fds[0]);
    }
    memcpy(opened.label, token.label, sizeof(opened.label));
    memcpy(opened.serial, token.serial, sizeof(opened.serial));
    if (!error)
        opened.sessions = vks_hsm_sessions_start(&token, threads);
    if (!error && !opened.sessions)
        error = VKS_HSM_OURS;
    if (error) {
        opened.outcome = (uint32_t)vks_hsm_error_exit(error);
        vks_hsm_text(opened.text, error, module.rv);
    }
    if (vks_ipc_reply(CONTROL_FD, &message.head, 0, &opened, sizeof(opened)))
        end(VKS_HSM_EXIT_OURS, "control socket: gone");
    if (error)
        _exit((int)opened.outcome);
}

static int serve_channel(void)
{
    struct vks_hsm_channel channel;

    memcpy(&channel, vks_ipc_body(&message), sizeof(channel));
    if (message.head.type == VKS_HSM_CLOSE)
        return clients_close(channel.channel_id);
    return clients_add(channel.channel_id, vks_ipc_take_fd(&message, 0));
}

static int serve_allow(void)
{
    static struct vks_hsm_key keys[VKS_HSM_ALLOW_MAX];
    const uint8_t *body = vks_ipc_body(&message);
    uint32_t rest_bytes = vks_ipc_body_bytes(&message) - (uint32_t)sizeof(struct vks_hsm_allow);
    struct vks_hsm_allow asked;

    memcpy(&asked, body, sizeof(asked));
    if (asked.count > VKS_HSM_ALLOW_MAX || rest_bytes != asked.count * sizeof(keys[0]))
        return -EPROTO;
    memcpy(keys, body + sizeof(asked), rest_bytes);
    return clients_allow(asked.channel_id, asked.flags, keys, asked.count);
}

static void serve_control(void)
{
    int got = vks_ipc_receive(CONTROL_FD, &message, VKS_IPC_NOWAIT), error;

    if (got == -EAGAIN)
        return;
    if (got == 0)
        _exit(0);
    if (got < 0)
        end(VKS_HSM_EXIT_OURS, "control socket: protocol error");
    switch (message.head.type) {
    case VKS_HSM_CHANNEL:
    case VKS_HSM_CLOSE:
        error = serve_channel();
        break;
    case VKS_HSM_ALLOW:
        error = serve_allow();
        break;
    case VKS_HSM_GENERATE:
    case VKS_HSM_FIND:
        error = clients_ask(&message);
        if (!error)
            return;
        break;
    default:
        end(VKS_HSM_EXIT_OURS, "control socket: protocol error");
    }
    vks_ipc_close_fds(&message);
    if (vks_ipc_reply(CONTROL_FD, &message.head, error, NULL, 0))
        end(VKS_HSM_EXIT_OURS, "control socket: gone");
}

static void serve(int woken_fd)
{
    struct pollfd *fds = NULL;
    uint32_t count;

    for (;;) {
        uint64_t drained;

        if (clients_poll(&fds, FIRST_CLIENT, &count))
            end(VKS_HSM_EXIT_OURS, "out of memory");
        fds[0] = (struct pollfd){.fd = CONTROL_FD, .events = POLLIN};
        fds[1] = (struct pollfd){.fd = woken_fd, .events = POLLIN};
        if (poll(fds, count, LOOK_MS) < 0 && errno != EINTR)
            end(VKS_HSM_EXIT_OURS, "cannot wait");
        if (clients_busy_ns() > VKS_HSM_SESSION_SECONDS_MAX * UINT64_C(1000000000))
            end(VKS_HSM_EXIT_ABSENT, "the token did not answer for 30 s");
        if (fds[1].revents)
            (void)!read(woken_fd, &drained, sizeof(drained));
        if (fds[0].revents)
            serve_control();
        clients_receive(fds + FIRST_CLIENT, count - FIRST_CLIENT, &message);
    }
}

int main(void)
{
    int woken_fd;

    signal(SIGPIPE, SIG_IGN);
    signal(SIGINT, SIG_IGN);
    if (vks_crypto_start())
        end(VKS_HSM_EXIT_OURS, "cannot set up secret memory");
    if (vks_sandbox_confine_user(0) || prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        end(VKS_HSM_EXIT_OURS, "cannot set up the sandbox");
    woken_fd = clients_open(CONTROL_FD);
    if (woken_fd < 0)
        end(VKS_HSM_EXIT_OURS, "out of memory");
    if (vks_ipc_receive(CONTROL_FD, &message, 0) != 1 || message.head.type != VKS_HSM_OPEN)
        _exit(0);
    serve_open();
    vks_ipc_close_fds(&message);
    serve(woken_fd);
}
