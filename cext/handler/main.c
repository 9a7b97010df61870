/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-handler: runs an operator's program on one event and says how that ended. As a user of its own, where it has the
 * right to become one. Else it has keystored's, and would see what that may see: then keystored's files and sockets are
 * hidden from it.
 *
 *   vks-handler [KEYSTORED_UID [HIDDEN...]]
 *
 * Its control socket is descriptor 3. What the program is and gets comes by that, and the answer goes there; it ends,
 * and the program with it, when the other end closes.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "activation.h"
#include "blind_view.h"
#include "ipc_socket.h"
#include "errand.h"
#include "privileges.h"
#include "run.h"
#include "sandbox.h"

enum {
    CONTROL_FD = 3,
    DESCRIPTORS_MAX = 1024,
};

static struct vks_ipc_message message;
static struct vks_errand errand;
static struct vks_outcome outcome;

static int fail(const char *what, const char *why)
{
    fprintf(stderr, "vks-handler: %s: %s\n", what, why);
    return 1;
}

static int lose_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL); /* some cannot be set, and are at their default */
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) == 0 ? 0 : -errno;
}

static int lose_inheritance(void)
{
    struct rlimit descriptors = {DESCRIPTORS_MAX, DESCRIPTORS_MAX};

    if (syscall(SYS_close_range, CONTROL_FD + 1, ~0U, 0) != 0 || chdir("/") != 0)
        return -errno;
    if (setrlimit(RLIMIT_NOFILE, &descriptors) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -errno;
    return lose_signals();
}

/* Out of reach of what is keystored's alone; *what* is what could not be done. */
static int part_from_keystored(char *const *hidden, const char **what)
{
    int64_t user;
    int error;

    *what = "cannot become a user of its own";
    user = vks_user_leave(0);
    if (user > 0)
        return 0;
    if (user < 0)
        return (int)user;
    /* Who names nothing to hide relies on the user. */
    if (!*hidden)
        return -EPERM;
    error = vks_blind_view_enter(hidden, what);
    if (!*what)
        *what = "cannot hide keystored's files from the handler";
    return error;
}

static int lose_rights(char *const *hidden, const char **what)
{
    int error = lose_inheritance();

    if (!error)
        error = vks_bounding_set_keep(0);
    if (!error)
        error = part_from_keystored(hidden, what);
    /* The mounts stay: whatever right there was to take them away is gone, and no program gets it back. */
    if (!error)
        error = vks_capabilities_keep(0);
    return error;
}

static int answer(void)
{
    struct vks_ipc_head head = {.type = VKS_HANDLER_RUN | VKS_IPC_REPLY, .tag = message.head.tag};
    const struct vks_ipc_part parts[] = {
        {&outcome.ended, sizeof(outcome.ended)},
        {outcome.said, outcome.ended.said_bytes},
    };

    return vks_ipc_send(CONTROL_FD, &head, parts, 2, NULL, 0);
}

int main(int argc, char **argv)
{
    const char *what = "cannot prepare the handler", *wrong;
    int error, received;

    error = vks_activation_greet(CONTROL_FD, vks_sandbox_keeper(argc, argv));
    if (error)
        return fail("control socket", strerror(-error));
    /* Before anything is read; keystored is told of a failure when it asks. */
    error = lose_rights(&argv[argc > 2 ? 2 : argc], &what);
    received = vks_ipc_receive(CONTROL_FD, &message, 0);
    if (received == 0)
        return 0;
    if (received < 0)
        return fail("message", strerror(-received));
    wrong = vks_errand_read(&message, &errand);
    if (wrong)
        return fail("message", wrong);
    if (!error) {
        what = "cannot start a program";
        error = vks_run(&errand, CONTROL_FD, &outcome);
    }
    if (error)
        vks_outcome_fail(&outcome, what, error);
    error = answer();
    return error && error != -EPIPE ? fail("answer", strerror(-error)) : 0;
}
