# SPDX-License-Identifier: Apache-2.0
"""A program as a handler: the event as JSON on its standard input, exit status 0 when it has taken it.

No shell, an environment of its own, no descriptor of ours; ``vks-handler`` hides keystored's files and sockets from it.
It is killed with its process group when its time is up or keystored stops.
"""

import contextlib
import json
import os
import select
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from vmm_keystore.policy.event import Event, EventKind
from vmm_keystore.service.ports import DeliveryError, DeliveryStoppedError

OUTPUT_BYTES_MAX = 4096
CHUNK_BYTES = 65536
ENVIRONMENT = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8", "HOME": "/"}


@dataclass(frozen=True, slots=True)
class ExecHandler:
    """``EventHandler`` that runs *program*; *hidden* gives what it must not see."""

    name: str
    kinds: frozenset[EventKind]
    timeout_s: float
    attempts_max: int
    first_wait_s: float
    program: Path
    launcher: Path
    hidden: Callable[[], Sequence[Path]]

    @property
    def way(self) -> str:
        """See ``EventHandler``."""
        return "exec"

    @property
    def target(self) -> str:
        """See ``EventHandler``."""
        return str(self.program)

    def deliver(self, event: Event, stop_fd: int) -> None:
        """See ``EventHandler``."""
        environment = {
            **ENVIRONMENT,
            "VMM_KEYSTORE_EVENT_ID": event.event_id,
            "VMM_KEYSTORE_EVENT_KIND": event.kind.value,
        }
        command = [str(self.launcher), str(os.getpid()), str(self.program), *map(str, self.hidden())]
        try:
            process = subprocess.Popen(
                command,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                env=environment,
                cwd="/",
                start_new_session=True,
            )
        except OSError as error:
            raise DeliveryError(f"cannot start it: {(error.strerror or str(error)).lower()}") from error
        with process:
            try:
                output = self._attend(process, (json.dumps(event.as_json()) + "\n").encode(), stop_fd)
            finally:
                # It was not waited for yet: the number is nobody else's.
                if process.returncode is None:
                    _kill_group(process.pid)
        status = process.returncode
        if status:
            how = f"exit status {status}" if status > 0 else f"killed by signal {-status}"
            raise DeliveryError(f"{how}: {output.decode(errors='replace')}" if output.strip() else how)

    def _attend(self, process: "subprocess.Popen[bytes]", content: bytes, stop_fd: int) -> bytes:
        """Give it the event and read what it says, until it ends; what it left running may keep its output open."""
        assert process.stdin is not None  # noqa: S101 -- asked for above
        assert process.stdout is not None  # noqa: S101 -- asked for above
        # Shorter than what a pipe holds: this does not wait for the program to read.
        with contextlib.suppress(BrokenPipeError):
            process.stdin.write(content)
            process.stdin.flush()
        with contextlib.suppress(BrokenPipeError):
            process.stdin.close()
        out = process.stdout.fileno()
        os.set_blocking(out, False)
        output = bytearray()
        end_s = time.monotonic() + self.timeout_s
        pidfd = os.pidfd_open(process.pid)
        try:
            poller = select.poll()
            for fd in (out, pidfd, stop_fd):
                poller.register(fd, select.POLLIN)
            while True:
                left_s = end_s - time.monotonic()
                ready = {fd for fd, _events in poller.poll(max(0, int(left_s * 1000)))} if left_s > 0 else set()
                if stop_fd in ready:
                    raise DeliveryStoppedError
                if out in ready and not _read(out, output):
                    poller.unregister(out)
                if pidfd in ready:
                    _read(out, output)
                    process.wait()
                    return bytes(output)
                if end_s <= time.monotonic():
                    said = f": {output.decode(errors='replace')}" if output.strip() else ""
                    raise DeliveryError(f"it did not end within {self.timeout_s:g} s and was killed{said}")
        finally:
            os.close(pidfd)


def _read(fd: int, output: bytearray) -> bool:
    """Read what there is, keep the beginning of it; whether more may come."""
    try:
        chunk = os.read(fd, CHUNK_BYTES)
    except BlockingIOError:
        return True
    output += chunk[: OUTPUT_BYTES_MAX - len(output)]
    return bool(chunk)


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)
