# SPDX-License-Identifier: Apache-2.0
"""Every process that a daemon started, directly or not.

The caller adopts orphans (PR_SET_CHILD_SUBREAPER), so that a worker stays a descendant when its zygote or keystored
dies; who adopts has to reap.
"""

import contextlib
import ctypes
import os
import signal
import socket
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PR_SET_CHILD_SUBREAPER = 36
UCRED = struct.Struct("=iII")


@dataclass(frozen=True, slots=True)
class Process:
    """A process of ours."""

    pid: int
    parent: int
    role: str
    is_zombie: bool


def adopt_orphans() -> None:
    """Make orphaned descendants children of this process."""
    if ctypes.CDLL(None, use_errno=True).prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")


def all_processes() -> Iterator[Process]:
    """Every process that the kernel shows."""
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            head, _, tail = (folder / "stat").read_text().rpartition(")")
            state, parent = tail.split()[:2]
            yield Process(int(folder.name), int(parent), head.partition("(")[2], state == "Z")


def descendants(ancestor: int) -> list[Process]:
    """Every living descendant of *ancestor*."""
    children: dict[int, list[Process]] = {}
    for process in all_processes():
        children.setdefault(process.parent, []).append(process)
    found: list[Process] = []
    queue = [ancestor]
    while queue:
        for process in children.get(queue.pop(), []):
            if process.is_zombie:
                continue
            found.append(process)
            queue.append(process.pid)
    return found


def reap_adopted(parent: int) -> None:
    """Bury the programs of a dead daemon that *parent*, the caller, adopted and that ended."""
    for process in all_processes():
        if process.parent == parent and process.is_zombie and process.role.startswith("vks-"):
            with contextlib.suppress(ChildProcessError):
                os.waitpid(process.pid, os.WNOHANG)


def kill(pid: int) -> bool:
    """SIGKILL; whether there was somebody to kill."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True


def status_of(pid: int) -> dict[str, str]:
    """What ``/proc/PID/status`` says, by name (proc(5))."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return {name: value.strip() for name, value in (line.split(":", 1) for line in lines)}


def peer_pid(sock: socket.socket) -> int:
    """Who is at the other end of a UNIX socket (unix(7), SO_PEERCRED)."""
    pid, _uid, _gid = UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, UCRED.size))
    return int(pid)


def roles(processes: list[Process]) -> Counter[str]:
    """How many there are of each."""
    return Counter(process.role for process in processes)
