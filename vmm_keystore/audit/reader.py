# SPDX-License-Identifier: Apache-2.0
"""Reading lines by number, for ``audit tail`` and ``audit export``: a caller follows by asking again."""

import bisect
import threading
from collections import OrderedDict, deque
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

from vmm_keystore.audit.line import parse_line
from vmm_keystore.audit.segments import Segment, list_segments, read_lines
from vmm_keystore.audit.selection import EVERYTHING, Selection
from vmm_keystore.errors import AuditDamagedError, AuditError

_PLACES_MAX = 64
_SCAN_LINES_MAX = 200_000
"""Lines looked at for one page: whoever selects few of many asks again instead of waiting."""

Lines = list[dict[str, Any]]
T = TypeVar("T")


class AuditReader:
    """Reads what an ``AuditLog`` wrote; every method may be called from any thread.

    Raises:
        AuditDamagedError: a line cannot be read.
        AuditError: a file cannot be read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        # Where recent pages ended, so that a follower does not read its segment from the start each time.
        self._places: OrderedDict[int, tuple[int, int]] = OrderedDict()

    def page(self, after: int, until: int, limit: int, selection: Selection = EVERYTHING) -> tuple[Lines, int]:
        """Return up to *limit* selected lines behind number *after*, none behind *until*, and where to go on."""
        return self._readable(lambda: self._page(after, until, limit, selection))

    def last(self, until: int, limit: int, selection: Selection = EVERYTHING) -> Lines:
        """Return the last *limit* selected lines, none behind *until*; looks back as far as it must."""
        return self._readable(lambda: self._last(until, limit, selection))

    def _page(self, after: int, until: int, limit: int, selection: Selection) -> tuple[Lines, int]:
        lines: Lines = []
        scanned = after
        segments = list_segments(self._directory)
        first = max(0, bisect.bisect_right([segment.first_seq for segment in segments], after + 1) - 1)
        for segment in segments[first:]:
            number, offset = self._start(segment, after)
            for line, end in read_lines(segment.path, offset):
                if len(lines) >= limit or number > until or scanned - after >= _SCAN_LINES_MAX:
                    return lines, scanned
                if number > after:
                    lines += _selected(segment, number, line, selection)
                    scanned = number
                    if len(lines) >= limit or number == until:
                        self._remember(scanned, segment, end)
                number += 1
        return lines, scanned

    def _last(self, until: int, limit: int, selection: Selection) -> Lines:
        found: Lines = []
        for segment in reversed(list_segments(self._directory)):
            if segment.first_seq > until:
                continue
            number = segment.first_seq
            here: deque[dict[str, Any]] = deque(maxlen=limit - len(found))
            for line, _ in read_lines(segment.path):
                if number > until:
                    break
                here.extend(_selected(segment, number, line, selection))
                number += 1
            found[:0] = here
            if len(found) >= limit or self._starts_before(segment, selection):
                break
        return found

    @staticmethod
    def _starts_before(segment: Segment, selection: Selection) -> bool:
        if not selection.since:
            return False
        fields = parse_line(next(read_lines(segment.path), (b"", 0))[0])
        return fields is not None and str(fields.get("time")) < selection.since

    @staticmethod
    def _readable(read: Callable[[], T]) -> T:
        try:
            return read()
        except OSError as error:
            raise AuditError(f"cannot read the audit log: {(error.strerror or str(error)).lower()}") from error

    def _start(self, segment: Segment, after: int) -> tuple[int, int]:
        with self._lock:
            first_seq, offset = self._places.get(after, (segment.first_seq, 0))
        return (after + 1, offset) if offset and first_seq == segment.first_seq else (segment.first_seq, 0)

    def _remember(self, seq: int, segment: Segment, offset: int) -> None:
        with self._lock:
            self._places[seq] = (segment.first_seq, offset)
            while len(self._places) > _PLACES_MAX:
                self._places.popitem(last=False)


def _selected(segment: Segment, number: int, line: bytes, selection: Selection) -> Lines:
    if not selection.may_match(line):
        return []
    fields = parse_line(line)
    if fields is None:
        raise AuditDamagedError(
            f"line {number} in {segment.path.name} is not readable", "vmm-keystore audit verify checks the whole log"
        )
    return [fields] if selection.matches(fields) else []
