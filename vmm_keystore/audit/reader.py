# SPDX-License-Identifier: Apache-2.0
"""Reading lines by number, for ``audit tail`` and ``audit export``: a caller follows by asking again."""

import bisect
import threading
from collections import OrderedDict
from pathlib import Path
from typing import Any

from vmm_keystore.audit.line import parse_line
from vmm_keystore.audit.segments import Segment, list_segments, read_lines
from vmm_keystore.errors import AuditDamagedError

_PLACES_MAX = 64


class AuditReader:
    """Reads what an ``AuditLog`` wrote; every method may be called from any thread."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        # Where recent pages ended, so that a follower does not read its segment from the start each time.
        self._places: OrderedDict[int, tuple[Path, int]] = OrderedDict()

    def page(self, after: int, until: int, limit: int) -> list[dict[str, Any]]:
        """Return up to *limit* lines behind number *after*, none behind *until*.

        Raises:
            AuditDamagedError: a line cannot be read.
        """
        lines: list[dict[str, Any]] = []
        seq = after
        segments = list_segments(self._directory)
        first = max(0, bisect.bisect_right([segment.first_seq for segment in segments], after + 1) - 1)
        for segment in segments[first:]:
            number, offset = self._start(segment, after)
            for line, end in read_lines(segment.path, offset):
                if len(lines) >= limit or number > until:
                    return lines
                if number > after:
                    lines.append(_parsed(segment, number, line))
                    seq = number
                    self._remember(seq, segment.path, end)
                number += 1
        return lines

    def _start(self, segment: Segment, after: int) -> tuple[int, int]:
        with self._lock:
            path, offset = self._places.get(after, (segment.path, 0))
        return (after + 1, offset) if offset and path == segment.path else (segment.first_seq, 0)

    def _remember(self, seq: int, path: Path, offset: int) -> None:
        with self._lock:
            self._places[seq] = (path, offset)
            while len(self._places) > _PLACES_MAX:
                self._places.popitem(last=False)


def _parsed(segment: Segment, number: int, line: bytes) -> dict[str, Any]:
    fields = parse_line(line)
    if fields is None:
        raise AuditDamagedError(
            f"line {number} in {segment.path.name} is not readable", "vmm-keystore audit verify checks the whole log"
        )
    return fields
