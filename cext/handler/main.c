/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vks-handler: runs an operator's program on an event. Where keystored is root the program becomes a user of its own.
 * Else it has keystored's user, and would see what that may see: so keystored's files and sockets are hidden from it.
 * It ends with keystored, and has no descriptor but its standard ones.
 *
 *   vks-handler STARTER_PID PROGRAM [HIDDEN...]
 *
 * Exit codes of its own: 125 it could not prepare, 126 PROGRAM cannot be run. Its environment is PROGRAM's.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "blind_view.h"
#include "privileges.h"

enum {
    EXIT_PREPARE = 125,
    EXIT_RUN = 126,
    FIRST_FOREIGN_FD = 3,
    DESCRIPTORS_MAX = 1024,
};

static int fail(int code, const char *what, int error)
{
    dprintf(STDERR_FILENO, "%s: %s\n", what, strerror(-error));
    return code;
}

/* Nobody waits for us once keystored, which looks at the time, is gone. */
static int end_with(pid_t starter)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) != 0)
        return -errno;
    return getppid() == starter ? 0 : -ESRCH;
}

static int lose_inheritance(void)
{
    struct rlimit descriptors = {DESCRIPTORS_MAX, DESCRIPTORS_MAX};

    if (syscall(SYS_close_range, FIRST_FOREIGN_FD, ~0U, 0) != 0)
        return -errno;
    if (setrlimit(RLIMIT_NOFILE, &descriptors) != 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0)
        return -errno;
    return 0;
}

static int lose_signals(void)
{
    sigset_t none;

    for (int number = 1; number < NSIG; number++)
        (void)signal(number, SIG_DFL); /* some cannot be set, and are at their default */
    sigemptyset(&none);
    return sigprocmask(SIG_SETMASK, &none, NULL) == 0 ? 0 : -errno;
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
    error = vks_blind_view_enter(hidden, what);
    if (!*what)
        *what = "cannot hide keystored's files from the handler";
    return error;
}

int main(int argc, char **argv)
{
    const char *what = "cannot prepare the handler";
    char *program;
    int error;

    if (argc < 3)
        return fail(EXIT_PREPARE, "vks-handler takes a pid and a program", -EINVAL);
    program = argv[2];
    error = lose_inheritance();
    if (!error)
        error = vks_bounding_set_keep(0);
    if (!error)
        error = part_from_keystored(&argv[3], &what);
    /* The mounts stay: whatever right there was to take them away is gone, and no program gets it back. */
    if (!error)
        error = vks_capabilities_keep(0);
    if (!error)
        error = lose_signals();
    /* Last: the kernel forgets it with a change of user. */
    if (!error)
        error = end_with((pid_t)strtol(argv[1], NULL, 10));
    if (error)
        return fail(EXIT_PREPARE, what, error);
    execve(program, (char *[]){program, NULL}, environ);
    return fail(EXIT_RUN, program, -errno);
}
