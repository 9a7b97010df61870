# SPDX-License-Identifier: Apache-2.0
"""Checking one segment, knowing no other: its lines follow from each other, its checkpoints from the lines before."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from vmm_keystore.audit.line import START, Link, check_lines, parse_line, previous_hash
from vmm_keystore.audit.note import AuditPublicKey, read_head
from vmm_keystore.audit.segments import Segment, open_segment
from vmm_keystore.errors import AuditNoteError

_CHUNK_BYTES = 1 << 20
_LINE_BYTES_MAX = 1 << 22
# Nothing but the member itself can spell this: inside a string its quotation marks would be escaped.
_CHECKPOINT = b'"kind":"checkpoint"'


@dataclass(frozen=True, slots=True)
class Task:
    """What to look for: lines up to *until_seq*, signatures by *key*, hashes of the lines *wanted*."""

    until_seq: int
    key: AuditPublicKey | None
    wanted: frozenset[int]


@dataclass(slots=True)
class Walked:
    """What held of a segment, and the first thing that did not."""

    segment: Segment
    start: Link = START
    end: Link = START
    torn_bytes: int = 0
    checkpoints: int = 0
    signed_seq: int = 0
    passed: list[Link] = field(default_factory=list)
    problem: str = ""

    @property
    def lines(self) -> int:
        """Lines that followed."""
        return self.end.seq - self.start.seq


def walk_segment(segment: Segment, task: Task) -> Walked:
    """Check a segment's lines from the hash that its first line names."""
    walked = Walked(segment)
    walked.start = walked.end = Link(segment.first_seq - 1, START.line_hash)
    started = False
    try:
        for lines in _line_chunks(segment, walked):
            if not started:
                started = True
                before = previous_hash(lines[: lines.index(b"\n")])
                if before is None:
                    walked.problem = f"line {segment.first_seq} in {segment.path.name} is not an audit line"
                    break
                walked.start = walked.end = Link(segment.first_seq - 1, before)
            if not _walk(walked, lines, task):
                break
    except OSError as error:
        walked.problem = f"{segment.path.name} cannot be read: {(error.strerror or str(error)).lower()}"
    return walked


def _line_chunks(segment: Segment, walked: Walked) -> Iterator[bytes]:
    rest = b""
    with open_segment(segment.path) as file:
        while chunk := file.read(_CHUNK_BYTES):
            whole, newline, tail = chunk.rpartition(b"\n")
            if newline:
                yield rest + whole + newline
                rest = tail
            else:
                rest += tail
            if len(rest) > _LINE_BYTES_MAX:
                walked.problem = f"line {walked.end.seq + 1} in {segment.path.name} is not an audit line"
                return
    walked.torn_bytes = len(rest)


def _walk(walked: Walked, lines: bytes, task: Task) -> bool:
    """Follow whole lines; False: there is nothing more to look at."""
    offset, problem = 0, ""
    view = memoryview(lines)
    before = walked.end.seq
    while offset < len(lines) and not problem and walked.end.seq < task.until_seq:
        stop = min((seq for seq in task.wanted if seq > walked.end.seq), default=task.until_seq)
        walked.end, size, problem = check_lines(walked.end, view[offset:], min(stop, task.until_seq))
        offset += size
        if walked.end.seq in task.wanted:
            walked.passed.append(walked.end)
    problem_of_note = _find_checkpoints(walked, lines[:offset], task, before)
    if problem_of_note:
        walked.problem = problem_of_note
    elif problem:
        walked.problem = f"line {walked.end.seq + 1} in {walked.segment.path.name} {problem}"
    return not walked.problem and walked.end.seq < task.until_seq


def _find_checkpoints(walked: Walked, lines: bytes, task: Task, before: int) -> str:
    place = lines.find(_CHECKPOINT)
    while place >= 0:
        begin, end = lines.rfind(b"\n", 0, place) + 1, lines.find(b"\n", place)
        problem = _check_checkpoint(walked, parse_line(lines[begin:end]) or {}, task)
        if problem:
            seq = before + lines.count(b"\n", 0, begin) + 1
            return f"line {seq} in {walked.segment.path.name}: {problem}"
        place = lines.find(_CHECKPOINT, end)
    return ""


def _check_checkpoint(walked: Walked, fields: dict[str, Any], task: Task) -> str:
    note = str(fields.get("note"))
    try:
        head = task.key.open_note(note) if task.key else read_head(note)
    except AuditNoteError as error:
        return error.message
    if head != Link(fields["seq"] - 1, fields["prev"]):
        return "the checkpoint is of other lines than those before it"
    walked.checkpoints += 1
    walked.signed_seq = head.seq
    return ""
