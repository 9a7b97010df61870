# SPDX-License-Identifier: Apache-2.0
"""What a daemon and its programs hold: descriptors, private memory, threads; and whether they hold more than before."""

import re
import time
from dataclasses import dataclass
from pathlib import Path

from framework.processes import descendants

PRIVATE = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB$", re.MULTILINE)
DAEMON = "keystored"
FD_SLACK = 12
"""Some come with another database connection; a leak would be one for each of what is repeated often."""
PRIVATE_SLACK_KIB = 4096
THREAD_SLACK = 8
PATIENCE_S = 20.0


@dataclass(frozen=True, slots=True)
class Holding:
    """What a process holds."""

    fd_count: int
    private_kib: int
    thread_count: int


def holding(pid: int) -> Holding | None:
    """What it holds, None when it ended meanwhile."""
    folder = Path("/proc") / str(pid)
    try:
        private_kib = sum(int(kib) for kib in PRIVATE.findall((folder / "smaps_rollup").read_text()))
        return Holding(count(folder / "fd"), private_kib, count(folder / "task"))
    except OSError:
        return None


def count(folder: Path) -> int:
    """How many entries it has."""
    return sum(1 for _ in folder.iterdir())


Holdings = dict[str, list[Holding]]


def holdings(daemon_pid: int) -> Holdings:
    """What the daemon and each of its programs hold, by role; ``keystored`` is the daemon."""
    found: Holdings = {}
    members = [(DAEMON, daemon_pid)] + [(process.role, process.pid) for process in descendants(daemon_pid)]
    for role, pid in members:
        held = holding(pid)
        if held is not None:
            found.setdefault(role, []).append(held)
    return found


def growth(before: Holdings, after: Holdings) -> list[str]:
    """Say what grew, role by role: the most that one of it holds, and how many there are."""
    problems = []
    for role, now in after.items():
        then = before.get(role, [])
        # A standby comes and goes with its guest's front-end.
        if len(now) > len(then) + (role == "vks-worker"):
            problems.append(f"{role}: {len(then)} processes, now {len(now)}")
        for name, slack in (("fd_count", FD_SLACK), ("private_kib", PRIVATE_SLACK_KIB), ("thread_count", THREAD_SLACK)):
            most_then, most_now = (max((getattr(held, name) for held in every), default=0) for every in (then, now))
            if most_now > most_then + slack:
                problems.append(f"{role}: {name} {most_then}, now {most_now}")
    return problems


def wait_for_no_growth(daemon_pid: int, before: Holdings) -> None:
    """Hold a daemon to what it held before; what is being given back may take a moment.

    Raises:
        AssertionError: something grew and stays.
    """
    end_s = time.monotonic() + PATIENCE_S
    while problems := growth(before, holdings(daemon_pid)):
        if time.monotonic() > end_s:
            raise AssertionError("; ".join(problems))
        time.sleep(0.05)
