# SPDX-License-Identifier: Apache-2.0
"""Programs on chosen processors."""

import os
import subprocess
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path


def start_pinned(
    command: Sequence[object], cpus: Collection[int], environment: Mapping[str, str] | None = None
) -> subprocess.Popen[str]:
    """Start a program that runs, with all that it starts, on *cpus* only; what it prints is kept for its end.

    Args:
        command: program and arguments.
        cpus: where it runs.
        environment: what it sees besides the caller's own.
    """
    return subprocess.Popen(
        ["taskset", "-c", ",".join(map(str, sorted(cpus))), *map(str, command)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **(environment or {})},
        start_new_session=True,
    )


def begin(process: subprocess.Popen[str]) -> None:
    """End what it reads."""
    if process.stdin is not None:
        process.stdin.close()
        process.stdin = None


def pin(pid: int, cpus: Collection[int]) -> None:
    """Move every thread of a process that runs already."""
    for task in Path(f"/proc/{pid}/task").iterdir():
        os.sched_setaffinity(int(task.name), cpus)
