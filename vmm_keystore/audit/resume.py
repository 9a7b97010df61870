# SPDX-License-Identifier: Apache-2.0
"""Finding out, at start or after a failed write, where the chain stands and what a crash left behind it."""

import hashlib
import os
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vmm_keystore.audit.line import START, Link, parse_line
from vmm_keystore.audit.segments import Segment, list_segments, read_lines, sync_directory
from vmm_keystore.errors import AuditDamagedError

_RECENT_SEGMENTS = 2
"""How far back a record that was stored but not yet taken can lie: more lines than all rings of one drain."""


@dataclass(slots=True)
class Standing:
    """Where the chain stands; *segment* is the one to append to, None before the first line."""

    link: Link
    segment: Segment | None
    size_bytes: int
    started_s: float = field(default_factory=time.time)
    """When the segment was started or, after that, taken up by this daemon."""
    last_records: dict[str, tuple[int, str]] = field(default_factory=dict)
    """By guest: number and time of its last record, to know one that was stored but not taken."""
    torn: list[dict[str, Any]] = field(default_factory=list)
    """What was set aside: file, bytes, and SHA-256 of its content."""


def find_standing(directory: Path) -> Standing:
    """Read the end of the log, setting a torn end aside in a file of its own.

    Only what follows the last readable line is torn: those lines were never acknowledged to anyone. Everything before
    is left as it is, for ``verify`` to judge.

    Raises:
        AuditDamagedError: an older segment does not end in a readable line.
        OSError: the files cannot be read or the torn end not be set aside.
    """
    segments = list_segments(directory)
    if not segments:
        return Standing(START, None, 0)
    standing = _read_last(directory, segments)
    for segment in segments[-_RECENT_SEGMENTS:]:
        for line, _ in read_lines(segment.path):
            fields = parse_line(line) if b'"kind":"use"' in line else None
            if fields is not None:
                standing.last_records[str(fields.get("guest"))] = (fields.get("record", 0), str(fields.get("time")))
    return standing


def find_last_change(directory: Path) -> int:
    """Return the number of the last admin change in the log, 0 when there is none."""
    for segment in reversed(list_segments(directory)):
        last = 0
        for line, _ in read_lines(segment.path):
            fields = parse_line(line) if b'"change":' in line else None
            if fields is not None and isinstance(fields.get("change"), int):
                last = fields["change"]
        if last:
            return last
    return 0


def _read_last(directory: Path, segments: list[Segment]) -> Standing:
    segment = segments[-1]
    if segment.compressed:
        # Closed for good; the one that followed it had no line yet.
        return Standing(_last_link(segment), None, 0)
    good_end, link = 0, None
    for line, end in read_lines(segment.path):
        fields = parse_line(line) if line.endswith(b"\n") else None
        if fields is not None:
            good_end, link = end, Link(fields["seq"], _hash(line[:-1]))
    if link is None:
        link = _last_link(segments[-2]) if len(segments) > 1 else START
    standing = Standing(link, segment, good_end)
    if segment.path.stat().st_size > good_end:
        standing.torn.append(_set_aside(directory, segment, good_end))
    return standing


def _last_link(segment: Segment) -> Link:
    last = b""
    for line, _ in read_lines(segment.path):
        last = line
    fields = parse_line(last)
    if fields is None:
        raise AuditDamagedError(
            f"the last line of {segment.path} is not readable", "move the audit folder away and keep it as evidence"
        )
    return Link(fields["seq"], _hash(last.removesuffix(b"\n")))


def _set_aside(directory: Path, segment: Segment, good_end: int) -> dict[str, Any]:
    with segment.path.open("rb+") as file:
        file.seek(good_end)
        content = file.read()
        digest = _hash(content)
        aside = directory / f"torn-{segment.first_seq:016}-{good_end}-{digest[:16]}"
        fd = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(fd, "wb") as copy:
            copy.write(content)
            copy.flush()
            os.fsync(copy.fileno())
        # Only once the copy is durable, name included, may the original be cut.
        sync_directory(directory)
        file.truncate(good_end)
        os.fsync(file.fileno())
    return {"file": aside.name, "bytes": len(content), "sha256": digest}


def _hash(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
