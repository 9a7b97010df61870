# SPDX-License-Identifier: Apache-2.0
"""The installed C programs: where they are, and how one is started.

A program finds its control socket as descriptor 3 and ends when the other end closes. The holder listens on its own.
Where keystored has no right to make processes of other users, systemd starts those that do: ``activated``.
"""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Protocol

from vmm_keystore.workers.errors import ProgramMissingError

CONTROL_FD = 3
LIBEXEC = Path(__file__).resolve().parent.parent / "libexec"
SEEN: Mapping[str, Sequence[str]] = {"vks-zygote": ("LD_LIBRARY_PATH",)}
"""Variables of keystored's own environment that a program sees: where engines may lie that nobody installed."""


class Process:
    """A process of ours by its pidfd, which is readable once it ended."""

    def __init__(self, pid: int, pidfd: int) -> None:
        """Take over *pidfd*."""
        self.pid = pid
        self.pidfd = pidfd
        self.ended = threading.Event()
        # kill() must not hit whatever gets the descriptor's number after it is closed.
        self._lock = threading.Lock()

    def kill(self) -> None:
        """Send SIGKILL; harmless once the process has ended. From any thread."""
        with self._lock:
            if self.ended.is_set():
                return
            try:
                signal.pidfd_send_signal(self.pidfd, signal.SIGKILL)
            except ProcessLookupError:
                return

    def close(self, *, reap: bool) -> None:
        """Give the pidfd back once it said that the process ended; *reap* our own child."""
        with self._lock:
            if reap:
                os.waitid(os.P_PIDFD, self.pidfd, os.WEXITED)
            self.ended.set()
            os.close(self.pidfd)


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


def start_program(
    name: str,
    keeper_uid: int | None = None,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> tuple[Process, socket.socket]:
    """Start a program, with no environment but what is named here or in ``SEEN``; our end of its control socket comes.

    *keeper_uid*, before the *arguments*, is who must be able to kill it, and its children, whatever user they become;
    None: who we are now.
    """
    ours, theirs = control_pair()
    with theirs:
        try:
            keeper = os.geteuid() if keeper_uid is None else keeper_uid
            process = spawn(name, theirs, keeper, environment, arguments)
        except BaseException:
            ours.close()
            raise
    return process, ours


def spawn(
    name: str,
    sock: socket.socket,
    keeper_uid: int,
    environment: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
) -> Process:
    """Start a program with *sock* as descriptor 3, in a session of its own.

    The session keeps a terminal's ctrl-c and hang-up away from it: keystored ends its programs in order.
    """
    actions = [
        (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
        (os.POSIX_SPAWN_DUP2, sock.fileno(), CONTROL_FD),
    ]
    argv = [name, str(keeper_uid), *arguments]
    seen = {one: os.environ[one] for one in SEEN.get(name, ()) if one in os.environ} | dict(environment or {})
    pid = os.posix_spawn(program_path(name), argv, seen, file_actions=actions, setsid=True, setsigmask=())
    return Process(pid, os.pidfd_open(pid))


def is_child(pidfd: int) -> bool:
    """Whether a process is ours to reap: a holder is inherited, and what systemd starts is systemd's."""
    try:
        os.waitid(os.P_PIDFD, pidfd, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


class RightfulPrograms(Protocol):
    """Where programs come from that need more rights than keystored has."""

    def take(self, name: str) -> tuple[Process, socket.socket] | None:
        """Give a program and its control socket to whoever looks after it from now on; None: there is no such one.

        Raises:
            ProgramError: there should be one.
        """

    @property
    def had_more_rights(self) -> bool:
        """Whether a program that keystored starts itself cannot do what these can."""

    def close(self) -> None:
        """End those that nobody took."""


class FirstPrograms:
    """Programs started before keystored gave up the rights that they need; each is taken over once."""

    def __init__(self, names: tuple[str, ...], keeper_uid: int) -> None:
        """Start them for a keystored that will be *keeper_uid*.

        Raises:
            ProgramMissingError: one is not installed; none is left running.
        """
        self._starter_uid = os.geteuid()
        self._waiting: dict[str, tuple[Process, socket.socket]] = {}
        try:
            for name in names:
                self._waiting[name] = start_program(name, keeper_uid)
        except BaseException:
            self.close()
            raise

    def take(self, name: str) -> tuple[Process, socket.socket] | None:
        """Give the program to whoever looks after it from now on; None when it was taken."""
        return self._waiting.pop(name, None)

    @property
    def had_more_rights(self) -> bool:
        """Whether a program that is started now cannot do what these can."""
        return self._starter_uid != os.geteuid()

    def close(self) -> None:
        """End those that nobody took."""
        while self._waiting:
            process, control = self._waiting.popitem()[1]
            control.close()
            # One that is not ours to kill yet sees that its socket is closed, and ends.
            with contextlib.suppress(PermissionError):
                process.kill()
            process.close(reap=True)
