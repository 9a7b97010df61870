# SPDX-License-Identifier: Apache-2.0
"""A running guest: commands by its agent, its console, and noticing when it dies.

``QemuGuest`` and ``UmlGuest`` are two ways to start one; tests written against ``Guest`` run in both.
"""

import os
import selectors
import shlex
import signal
import socket
import subprocess
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from framework.agent import Agent, AgentGone, Job
from framework.console import Console


class GuestError(Exception):
    """Something is wrong with the guest; the text carries the end of its console."""


class GuestDied(GuestError):
    """The guest ended, panicked or never came up."""


class CommandFailed(GuestError):
    """A command ended with a status other than 0, or not in time."""


class KernelComplained(GuestError):
    """The guest's kernel reported a fault that no test took."""


@dataclass(frozen=True)
class Completed:
    """A command that ended."""

    command: str
    status: int
    stdout: bytes
    stderr: bytes

    @property
    def text(self) -> str:
        """Its standard output as text, without the newline at the end."""
        return self.stdout.decode().rstrip("\n")


class Guest(ABC):
    """A guest as a context manager: entering boots it, leaving ends it and looks at its console.

    Attributes:
        console: what the guest wrote to its console.
        boot_seconds: from the start of the process to the agent's hello.
    """

    boot_timeout = 60.0
    window_bytes = 1 << 18

    def __init__(self) -> None:
        self.console = Console()
        self.boot_seconds = 0.0
        self._closed = False
        self._process: subprocess.Popen[bytes] | None = None
        self._agent_socket, self._agent_far = socket.socketpair()
        self._console_socket, self._console_far = socket.socketpair()
        self.agent = Agent(self._agent_socket.sendall, self.window_bytes)
        self._reader = threading.Thread(target=self._read, name="guest-reader", daemon=True)
        self._stop_read, self._stop_write = os.pipe()

    # What a kind of guest must say

    @abstractmethod
    def _command(self, agent_fd: int, console_fd: int) -> Sequence[str]:
        """The program and its arguments, given the descriptors it inherits."""

    def _extra_fds(self) -> Sequence[socket.socket]:
        """Further sockets the program inherits; closed here once it runs."""
        return ()

    def _started(self) -> None:  # noqa: B027 - not every kind has anything to do
        """Called when the process runs, before the agent is waited for."""

    def _wait_until_up(self) -> None:
        """Wait for what entering waits for: the agent's hello."""
        if not self.agent.ready.wait(self.boot_timeout):
            self.agent.lost("no hello from its agent")

    def _shut_down(self) -> None:  # noqa: B027 - nor here
        """Ask the process to end, if there is a better way than a signal."""

    # Life

    def __enter__(self) -> Self:
        begin = time.monotonic()
        try:
            self._spawn()
            self._reader.start()
            self._started()
            self._wait_until_up()
        except BaseException:
            self.close()
            raise
        if self.agent.gone:
            self.close()
            raise GuestDied(self._explain(f"guest not ready: {self.agent.gone}"))
        self.boot_seconds = time.monotonic() - begin
        return self

    def _spawn(self) -> None:
        far = [self._agent_far, self._console_far, *self._extra_fds()]
        words = self._command(self._agent_far.fileno(), self._console_far.fileno())
        # A guest must not outlive the tests. Its own session: user-mode Linux signals its process group.
        self._process = subprocess.Popen(
            ["setpriv", "--pdeathsig", "KILL", "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=self._console_far.fileno(),
            stderr=self._console_far.fileno(),
            pass_fds=[end.fileno() for end in far],
            start_new_session=True,
        )
        for end in far:
            end.close()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
        if error is not None:
            error.add_note(f"guest console, its end:\n{self.console.tail()}")
        elif complaints := self.console.complaints():
            raise KernelComplained(self._explain(f"the guest's kernel complained {len(complaints)} times"))

    def close(self) -> None:
        """End the guest and free what it held; no second time."""
        if not self._closed:
            self._closed = True
            self._end()

    def kill(self) -> None:
        """End it as a crash of the host's program does."""
        if self._process:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def _end(self) -> None:
        if process := self._process:
            if process.poll() is None:
                self._shut_down()
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
        os.close(self._stop_write)
        if self._reader.ident is not None:
            self._reader.join()
        os.close(self._stop_read)
        for end in (self._agent_socket, self._console_socket, self._agent_far, self._console_far):
            end.close()

    def _explain(self, what: str) -> str:
        if complaints := self.console.complaints():
            what += f"\nits kernel: {complaints[0]}"
        return f"{what}\nguest console, its end:\n{self.console.tail()}"

    def _read(self) -> None:
        """Take what the guest sends until it ends or the harness stops it."""
        assert self._process is not None
        pidfd = os.pidfd_open(self._process.pid)
        sinks = [(self._agent_socket, self.agent.received), (self._console_socket, self.console.received)]
        reason = ""
        with selectors.DefaultSelector() as selector:
            for end, sink in sinks:
                selector.register(end, selectors.EVENT_READ, sink)
            selector.register(pidfd, selectors.EVENT_READ, "its process ended")
            selector.register(self._stop_read, selectors.EVENT_READ, "ended by the harness")
            while not reason:
                for key, _ in selector.select():
                    if isinstance(key.data, str):
                        reason = reason or key.data
                    elif isinstance(key.fileobj, socket.socket):
                        reason = self._take(key.fileobj, key.data) or reason
        os.close(pidfd)
        # What it wrote before it ended; the other threads do not use these sockets for reading.
        for end, sink in sinks:
            while not self._take(end, sink, socket.MSG_DONTWAIT):
                pass
        self.agent.lost(reason)

    @staticmethod
    def _take(end: socket.socket, sink: Callable[[bytes], None], flags: int = 0) -> str:
        """Read once; why there will be nothing more, or an empty string."""
        try:
            data = end.recv(1 << 18, flags)
            if data:
                sink(data)
                return ""
        except (AgentGone, OSError, ValueError) as error:
            return f"its channel broke: {error}"
        return "its channel closed"

    # Use

    def start(self, command: str) -> Job:
        """Start a shell command and do not wait for it."""
        return self.agent.start(command)

    def run(self, command: str, *, stdin: bytes = b"", check: bool = True, timeout: float = 30.0) -> Completed:
        """Run a shell command in the guest.

        Raises:
            CommandFailed: it took longer than *timeout* seconds, or ended with a status other than 0 and *check* is set.
            GuestDied: the guest ended meanwhile.
        """
        try:
            job = self.start(command)
            job.send(stdin)
            job.end_input()
            in_time = job.wait(timeout)
            if not in_time:
                job.signal(signal.SIGKILL)
        except AgentGone as error:
            raise GuestDied(self._explain(f"guest died during `{command}`: {error}")) from None
        if not in_time:
            raise CommandFailed(self._explain(f"`{command}` did not end within {timeout} s"))
        assert job.status is not None
        done = Completed(command, job.status, bytes(job.stdout), bytes(job.stderr))
        if check and done.status:
            text = (done.stderr or done.stdout).decode(errors="replace").strip()
            raise CommandFailed(self._explain(f"`{command}` ended with status {done.status}: {text}"))
        return done

    def type(self, line: str) -> None:
        """Type a line on its console."""
        self._console_socket.sendall(line.encode() + b"\n")

    def push(self, data: bytes | Path, path: str, mode: int = 0o644) -> None:
        """Write *data*, or the content of that host file, to *path* in the guest."""
        content = data.read_bytes() if isinstance(data, Path) else data
        place = shlex.quote(path)
        self.run(f"cat >{place} && chmod {mode:o} {place}", stdin=content, timeout=120)

    def pull(self, path: str) -> bytes:
        """The content of a guest file."""
        return self.run(f"cat {shlex.quote(path)}", timeout=120).stdout
