# SPDX-License-Identifier: Apache-2.0
"""Checking the whole chain, with nothing but the files: finds any edit, gap, reorder or foreign line."""

from dataclasses import dataclass
from pathlib import Path

from vmm_keystore.audit.line import START, Link, hash_line, parse_line
from vmm_keystore.audit.segments import Segment, list_segments, read_lines


@dataclass(frozen=True, slots=True)
class ChainReport:
    """What was found; *problem* says what and where, the other fields count what held until there."""

    lines: int
    segments: int
    last_seq: int
    last_hash: str
    torn_bytes: int = 0
    """Bytes of a last line that was never completed: what a crash leaves, never acknowledged to anyone."""
    problem: str = ""

    @property
    def ok(self) -> bool:
        """The chain holds."""
        return not self.problem


class _BrokenChainError(Exception):
    """Carries the problem to the one place that reports it."""


def verify_chain(directory: Path, until_seq: int | None = None) -> ChainReport:
    """Check every line, up to *until_seq* while a daemon is appending.

    Truncation at a line's end cannot be seen from the files alone: compare *last_seq* and *last_hash* with what the
    auditor wrote down earlier.
    """
    walk = _Walk(until_seq)
    problem = ""
    try:
        for segment in list_segments(directory) if directory.is_dir() else []:
            walk.segment(segment)
        walk.end()
    except _BrokenChainError as broken:
        problem = str(broken)
    return ChainReport(walk.link.seq, walk.segments, walk.link.seq, walk.link.line_hash, walk.torn_bytes, problem)


class _Walk:
    """One pass over the chain."""

    def __init__(self, until_seq: int | None) -> None:
        self.until_seq = until_seq
        self.link = START
        self.segments = 0
        self.torn_bytes = 0

    def segment(self, segment: Segment) -> None:
        if self._done():
            return
        if self.torn_bytes:
            raise _BrokenChainError(f"a torn line lies before {segment.path.name}")
        if segment.first_seq != self.link.seq + 1:
            raise _BrokenChainError(f"{segment.path.name} follows line {self.link.seq}: lines or segments are missing")
        self.segments += 1
        for line, _ in read_lines(segment.path):
            if self._done():
                return
            if line.endswith(b"\n"):
                self.link = _check_line(segment, self.link, line[:-1])
            else:
                self.torn_bytes = len(line)

    def end(self) -> None:
        if self.until_seq is not None and not self._done():
            raise _BrokenChainError(f"it ends at line {self.link.seq}, the daemon wrote {self.until_seq}")

    def _done(self) -> bool:
        return self.until_seq is not None and self.link.seq >= self.until_seq


def _check_line(segment: Segment, link: Link, line: bytes) -> Link:
    where = f"line {link.seq + 1} in {segment.path.name}"
    fields = parse_line(line)
    if fields is None:
        raise _BrokenChainError(f"{where} is not an audit line")
    if fields["seq"] != link.seq + 1:
        raise _BrokenChainError(f"{where} has number {fields['seq']}: lines are missing or reordered")
    if fields["prev"] != link.line_hash:
        raise _BrokenChainError(f"{where} does not follow from the line before it: one of the two was changed")
    return Link(link.seq + 1, hash_line(line))
