# SPDX-License-Identifier: Apache-2.0
"""Checking the whole log, offline, with nothing but the files and the public key.

Found are: any edit, gap, reorder or foreign line; checkpoints that do not fit the lines before them or are not signed
by the key; closed segments that no checkpoint covers; and, against checkpoints that the auditor kept, truncation and a
log that was written anew. Segments are checked side by side, each from the hash that its own first line names; whether
that is the end of the segment before is looked at afterwards.
"""

import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from vmm_keystore.audit.line import SEQ_MAX, START, Link
from vmm_keystore.audit.note import AuditPublicKey
from vmm_keystore.audit.segments import Segment, list_segments, segment_sizes
from vmm_keystore.audit.verify_segment import Task, Walked, walk_segment

Progress = Callable[[int, int], None]
"""Bytes of files done, bytes in all."""


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
    checkpoints: int = 0
    signed_seq: int = 0
    """The last line that a checkpoint covers; without a key: claims to cover."""
    key: str = ""
    """Origin of the key that signatures were checked with; empty: they were not."""

    @property
    def ok(self) -> bool:
        """The log holds."""
        return not self.problem


class _BrokenChainError(Exception):
    """Carries the problem to the one place that reports it."""


def verify_chain(
    directory: Path,
    until_seq: int | None = None,
    *,
    key: AuditPublicKey | None = None,
    kept: Sequence[Link] = (),
    progress: Progress = lambda _done, _all: None,
) -> ChainReport:
    """Check every line.

    Args:
        directory: the audit folder, or a copy.
        until_seq: the last line to look at, while a daemon is appending.
        key: checks the checkpoints' signatures.
        kept: heads from checkpoints that were kept elsewhere, their signatures checked: the log must still hold them.
        progress: called now and then.
    """
    segments = list_segments(directory) if directory.is_dir() else []
    joint = _Joint(segments, until_seq, kept)
    problem = ""
    try:
        for walked in _walk_all(segments, Task(until_seq or SEQ_MAX, key, frozenset(h.seq for h in kept)), progress):
            joint.add(walked)
        joint.end(signed=key is not None)
    except _BrokenChainError as broken:
        problem = str(broken)
    return ChainReport(
        lines=joint.link.seq,
        segments=joint.segment_count,
        last_seq=joint.link.seq,
        last_hash=joint.link.line_hash,
        torn_bytes=joint.torn_bytes,
        problem=problem,
        checkpoints=joint.checkpoints,
        signed_seq=joint.signed_seq,
        key=key.origin if key else "",
    )


def _walk_all(segments: Sequence[Segment], task: Task, progress: Progress) -> Iterator[Walked]:
    sizes = segment_sizes(segments)
    done = 0
    # Hashing and decompression leave the interpreter to others.
    with ThreadPoolExecutor(os.cpu_count()) as executor:
        walks = [executor.submit(walk_segment, segment, task) for segment in segments]
        try:
            for walk, size in zip(walks, sizes, strict=True):
                yield walk.result()
                done += size
                progress(done, sum(sizes))
        finally:
            executor.shutdown(cancel_futures=True)


@dataclass
class _Joint:
    """Puts segments together, in order."""

    segments: Sequence[Segment]
    until_seq: int | None
    kept: Sequence[Link]
    link: Link = START
    segment_count: int = 0
    torn_bytes: int = 0
    checkpoints: int = 0
    signed_seq: int = 0
    kept_left: dict[int, set[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for head in self.kept:
            self.kept_left.setdefault(head.seq, set()).add(head.line_hash)
        self._keep(START)

    def add(self, walked: Walked) -> None:
        if self._done():
            return
        name = walked.segment.path.name
        if self.torn_bytes:
            raise _BrokenChainError(f"a torn line lies before {name}")
        if walked.segment.first_seq != self.link.seq + 1:
            raise _BrokenChainError(f"{name} follows line {self.link.seq}: lines or segments are missing")
        if walked.lines and walked.start.line_hash != self.link.line_hash:
            raise _BrokenChainError(
                f"line {self.link.seq + 1} in {name} does not follow from the line before it: one of the two was changed"
            )
        self.segment_count += 1
        if walked.lines:
            self.link = walked.end
        self.torn_bytes = walked.torn_bytes
        self.checkpoints += walked.checkpoints
        self.signed_seq = max(self.signed_seq, walked.signed_seq)
        for head in walked.passed:
            self._keep(head)
        if walked.problem:
            raise _BrokenChainError(walked.problem)

    def end(self, *, signed: bool) -> None:
        if self.until_seq is not None and not self._done():
            raise _BrokenChainError(f"it ends at line {self.link.seq}, the daemon wrote {self.until_seq}")
        for seq in sorted(self.kept_left):
            raise _BrokenChainError(f"it ends at line {self.link.seq}, a kept checkpoint is of line {seq}: it was cut")
        # The newest of the closed segments may wait for its checkpoint; the next one is signed by then.
        if signed and len(self.segments) > 2 and self.signed_seq < self.segments[-2].first_seq - 1:
            raise _BrokenChainError(
                f"lines from {self.signed_seq + 1} on are in closed segments, but no checkpoint covers them"
            )

    def _keep(self, head: Link) -> None:
        hashes = self.kept_left.pop(head.seq, None)
        if hashes is not None and hashes != {head.line_hash}:
            raise _BrokenChainError(f"line {head.seq} is not the one of a kept checkpoint: the log was written anew")

    def _done(self) -> bool:
        return self.until_seq is not None and self.link.seq >= self.until_seq
