# SPDX-License-Identifier: Apache-2.0
"""Tells what happens: steps, commands as one would type them, and what they answered."""

from __future__ import annotations

import os
import shlex
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

INDENT = "    "
SHOWN_LINES_MAX = 24


class DemoFailed(Exception):
    """Something was not as promised."""


class Narration:
    """Writes to standard output, and knows which step is being told."""

    def __init__(self) -> None:
        self.step_title = "start"
        self._start = _make_started() or time.time()

    @property
    def seconds(self) -> float:
        """Since ``make demo`` was typed, or this program started."""
        return time.time() - self._start

    @contextmanager
    def step(self, title: str) -> Iterator[None]:
        """Tell that a part of the story begins."""
        self.step_title = title
        self._say(f"\n== {title}  [{self.seconds:.1f} s]")
        yield

    def tell(self, sentence: str) -> None:
        """Say something in words."""
        self._say(f"   {sentence}")

    def command(self, where: str, words: str | list[str]) -> None:
        """Show a command as one would type it."""
        self._say(f"   {where} {words if isinstance(words, str) else shlex.join(words)}")

    def answer(self, text: str) -> None:
        """Show what a command answered; long answers by their beginning."""
        lines = text.rstrip("\n").splitlines()
        for line in lines[:SHOWN_LINES_MAX]:
            self._say(INDENT + line)
        if len(lines) > SHOWN_LINES_MAX:
            self._say(f"{INDENT}... {len(lines) - SHOWN_LINES_MAX} more lines")

    def require(self, holds: bool, claim: str) -> None:  # reads as a sentence
        """Say that *claim* holds, or end the demo."""
        if not holds:
            raise DemoFailed(f"does not hold: {claim}")
        self._say(f"   ok: {claim}")

    def _say(self, line: str) -> None:
        print(line, flush=True)


def _make_started() -> float | None:
    """When the make that runs us was started, in UNIX seconds."""
    parent = Path(f"/proc/{os.getppid()}")
    try:
        name, _, rest = parent.joinpath("stat").read_text().rpartition(")")
        if not name.endswith("(make"):
            return None
        ticks = int(rest.split()[19])
        uptime = float(Path("/proc/uptime").read_text().split()[0])
    except OSError:
        return None
    return time.time() - uptime + ticks / os.sysconf("SC_CLK_TCK")


def fail(narration: Narration, reason: str) -> int:
    """Tell which step failed and why; returns the exit status."""
    sys.stdout.flush()
    print(f"\ndemo: failed in step '{narration.step_title}': {reason}", file=sys.stderr)
    return 1
