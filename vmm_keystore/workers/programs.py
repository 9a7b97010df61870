# SPDX-License-Identifier: Apache-2.0
"""The installed C programs: where they are, and how one is started.

A program finds its control socket as descriptor 3 and ends when the other end closes.
"""

import os
import signal
import socket
from dataclasses import dataclass
from pathlib import Path

from vmm_keystore.workers.errors import ProgramMissingError

CONTROL_FD = 3
LIBEXEC = Path(__file__).resolve().parent.parent / "libexec"


@dataclass(frozen=True, slots=True)
class Child:
    """A program of ours that runs: *pidfd* is readable once it ended, *control* is our end of its socket."""

    name: str
    pid: int
    pidfd: int
    control: socket.socket

    def kill(self) -> None:
        """Send SIGKILL; harmless once the program has ended."""
        kill_pidfd(self.pidfd)

    def reap(self) -> None:
        """Collect the exit status of a program that has ended and give its descriptors back."""
        os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
        os.close(self.pidfd)


def kill_pidfd(pidfd: int) -> None:
    """Send SIGKILL to the process a pidfd stands for, unless it is gone already."""
    try:
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return


def program_path(name: str) -> Path:
    """Find an installed program.

    Raises:
        ProgramMissingError: the package was installed without it.
    """
    path = LIBEXEC / name
    if not os.access(path, os.X_OK):
        raise ProgramMissingError(name, path)
    return path


def control_pair() -> tuple[socket.socket, socket.socket]:
    """Make a control socket: our end, which never blocks, and the program's end."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    ours.setblocking(False)
    return ours, theirs


def start_program(name: str) -> Child:
    """Start a program with its control socket, no environment and its own process group.

    The group keeps a terminal's ctrl-c away from it: keystored ends its programs in order.
    """
    path = program_path(name)
    ours, theirs = control_pair()
    with theirs:
        actions = [
            (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
            (os.POSIX_SPAWN_DUP2, theirs.fileno(), CONTROL_FD),
        ]
        try:
            pid = os.posix_spawn(path, [name], {}, file_actions=actions, setpgroup=0, setsigmask=())
        except OSError:
            ours.close()
            raise
    return Child(name, pid, os.pidfd_open(pid), ours)
