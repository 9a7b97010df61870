# SPDX-License-Identifier: Apache-2.0
"""How far long work on files is: a line on stderr that rewrites itself, on terminals only, after the first second."""

from __future__ import annotations

import sys
import time
from typing import Self

_QUIET_S = 1.0
_PERIOD_S = 0.2
_MIB = 1 << 20


class FileProgress:
    """Call it with bytes done and bytes in all; a context manager that leaves nothing behind."""

    def __init__(self) -> None:
        self._started = time.monotonic()
        self._shown = 0.0

    def __call__(self, done_bytes: int, all_bytes: int) -> None:
        """Show it, unless that was done just now."""
        now = time.monotonic()
        if now - self._started < _QUIET_S or now - self._shown < _PERIOD_S or not sys.stderr.isatty():
            return
        self._shown = now
        rate = done_bytes / (now - self._started) / _MIB
        share = 100 * done_bytes // max(1, all_bytes)
        print(
            f"\r{share:3} %  {done_bytes // _MIB} of {all_bytes // _MIB} MiB  {rate:.0f} MiB/s ",
            end="",
            file=sys.stderr,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._shown:
            print("\r\x1b[K", end="", file=sys.stderr)
