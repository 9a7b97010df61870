/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-custodian: the one process that holds the KEK. It generates, imports, seals and unseals keys and hands them to
 * workers in secret memory. Its only way in is the socket it is started with, descriptor 3; it ends when that closes.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#include "activation.h"
#include "confinement.h"
#include "crypto_process.h"
#include "ipc_socket.h"
#include "registers.h"
#include "requests.h"
#include "sandbox.h"
#include "secret_arena.h"
#include "secret_stack.h"
#include "stretch.h"

enum {
    CONTROL_FD = 3,
};

/* Ciphertext and public things only, so ordinary memory. */
static struct vks_ipc_message message;

static int serve(void *argument)
{
    int received = vks_confinement_seal();

    if (received)
        return received;
    while ((received = vks_ipc_receive(CONTROL_FD, &message, 0)) == 1) {
        int error = vks_request_serve(CONTROL_FD, &message);

        vks_registers_wipe();
        if (error)
            return error;
    }
    return received;
}

int main(int argc, char **argv)
{
    uint32_t keeper = vks_sandbox_keeper(argc, argv);
    int error;

    /* Ctrl-C at keystored's terminal is keystored's to handle; it then closes the socket. */
    signal(SIGINT, SIG_IGN);
    error = vks_activation_greet(CONTROL_FD, keeper);
    if (error) {
        fprintf(stderr, "vks-custodian: control socket: %s\n", strerror(-error));
        return 1;
    }
    /* Guard pages too. */
    vks_secret_arena_raise_limit(VKS_STRETCH_BYTES + (1 << 16));
    error = vks_crypto_start();
    if (error) {
        fprintf(stderr, "vks-custodian: cannot set up secret memory: %s\nhint: check ulimit -l\n", strerror(-error));
        return 1;
    }
    error = vks_confinement_begin(keeper);
    if (error) {
        fprintf(stderr, "vks-custodian: cannot set up the sandbox: %s\n", strerror(-error));
        return 1;
    }
    error = vks_secret_call(serve, NULL);
    if (error && error != -EPIPE) {
        fprintf(stderr, "vks-custodian: ended: %s\n", strerror(-error));
        return 1;
    }
    return 0;
}
