# SPDX-License-Identifier: Apache-2.0
"""What processes take: time of a processor while nobody asks, private and secret memory."""

import re
import time
from collections.abc import Collection, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

MAPPING = re.compile(r"^[0-9a-f]+-[0-9a-f]+ .*?(/\S+.*|\[\w+\])?$")
PRIVATE = re.compile(r"^Private_(?:Clean|Dirty):\s+(\d+) kB$")
SECRET = "/secretmem"


@dataclass(frozen=True, slots=True)
class Memory:
    """Private pages of a process; *secret_kib* of them are memfd_secret(2)'s."""

    private_kib: int
    secret_kib: int


def parse_smaps(text: str) -> Memory:
    """Add up ``/proc/PID/smaps``: pages that nobody else has, and those of secret memory among them."""
    private_kib = secret_kib = 0
    is_secret = False
    for line in text.splitlines():
        if MAPPING.match(line):
            is_secret = SECRET in line
        elif found := PRIVATE.match(line):
            private_kib += int(found[1])
            secret_kib += int(found[1]) if is_secret else 0
    return Memory(private_kib, secret_kib)


def memory_of(pid: int) -> Memory:
    """What a process has now."""
    return parse_smaps(Path(f"/proc/{pid}/smaps").read_text())


def cpu_ns(pids: Collection[int]) -> int:
    """What all threads of these have used so far, by the scheduler's clock: ticks of 10 ms are too coarse for many."""
    used = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            with suppress(FileNotFoundError):  # it ended
                used += int((task / "schedstat").read_text().split()[0])
    return used


def cpu_percent(groups: Mapping[str, Collection[int]], seconds: float) -> dict[str, float]:
    """What each group of processes uses from now on, of one core."""
    start_s, before_ns = time.monotonic(), {name: cpu_ns(pids) for name, pids in groups.items()}
    time.sleep(seconds)
    after_ns = {name: cpu_ns(pids) for name, pids in groups.items()}
    elapsed_s = time.monotonic() - start_s
    return {name: (after_ns[name] - before_ns[name]) / elapsed_s / 1e7 for name in groups}
