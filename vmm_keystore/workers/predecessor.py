# SPDX-License-Identifier: Apache-2.0
"""The worker that serves a guest, named in a file on tmpfs: the next keystored ends it before another one serves.

Two workers must never have one ring and one state memory. A pid alone could be another process's by now; with the
moment of its start it is not.
"""

import logging
import os
import select
import signal
from pathlib import Path

from vmm_keystore.workers.errors import ProgramLostError

log = logging.getLogger(__name__)

START_TIME_FIELD = 22  # proc_pid_stat(5)
DEATH_TIMEOUT_MS = 5000


class ServingFile:
    """``GUEST.worker``: pid and start time of the worker that serves, or served, the guest."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def write(self, pid: int) -> None:
        """Name the worker that serves from now on; before it does."""
        replace_file(self._path, f"{pid} {start_time(pid)}\n".encode())

    def remove(self) -> None:
        """Nobody serves, and it is known."""
        self._path.unlink(missing_ok=True)

    def end_worker(self) -> bool:
        """End the worker that the file names, if it still runs; whether it did.

        Raises:
            ProgramLostError: the kernel does not let it die: it must not be succeeded.
        """
        try:
            pid, started = (int(word) for word in self._path.read_text().split())
            pidfd = os.pidfd_open(pid)
        except (FileNotFoundError, ProcessLookupError, ValueError):
            return False
        try:
            # While the descriptor is open no other process gets the pid. Where the moment is unknown: hands off.
            if start_time(pid) != started or not started:
                return False
            try:
                signal.pidfd_send_signal(pidfd, signal.SIGKILL)
            except ProcessLookupError:
                return False
            poller = select.poll()
            poller.register(pidfd, select.POLLIN)
            if not poller.poll(DEATH_TIMEOUT_MS):
                raise ProgramLostError(f"the last keystored's worker, pid {pid}, does not die")
        finally:
            os.close(pidfd)
        return True


def start_time(pid: int) -> int:
    """When a process was started, in clock ticks since boot; 0 when it is gone."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return 0
    # The name in parentheses may hold anything; it is field 2.
    return int(stat.rpartition(")")[2].split()[START_TIME_FIELD - 3])


def replace_file(path: Path, content: bytes) -> None:
    """Exchange a file at once, for whoever is killed in between: never half of it. Not for a crash of the host."""
    temporary = path.with_name(path.name + ".new")
    temporary.write_bytes(content)
    temporary.rename(path)
