# SPDX-License-Identifier: Apache-2.0
"""Uses of keys, counted as their records are stored, and counted anew from the log where that was missed.

What is counted here is what the log says up to a line: nothing is lost by a crash, and nothing counts twice. A use is
an operation of the kinds that grants name which was done: what was refused or failed before the key was used is none.
"""

import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from vmm_keystore._vks import ffi, lib
from vmm_keystore.audit.reader import AuditReader
from vmm_keystore.policy.vocabulary import KEYED_OPS, Op, Status

KINDS_MAX = 4096
"""Kinds of uses kept apart at once: a worker that has fallen and makes keys up costs no more memory than that."""
PAGE_LINES = 5000

_OPS = {int(op): op for op in KEYED_OPS}
_OP_WORDS = {op.text: op for op in KEYED_OPS}
_USED = frozenset({int(Status.OK), int(Status.AUTH_FAILED)})
_USED_WORDS = frozenset({Status.OK.text, Status.AUTH_FAILED.text})


class UseKind(NamedTuple):
    """What is counted apart: as a guest's worker says, which the store checks."""

    guest: str
    key_id: bytes
    version: int
    op: Op


@dataclass(frozen=True, slots=True)
class Tally:
    """When the last of them began, in whole seconds, and how many."""

    last_s: int
    count: int


Uses = dict[UseKind, Tally]


class Taken(NamedTuple):
    """What was counted up to line *seq*; *is_whole* is false where something before that was not."""

    uses: Uses
    seq: int
    is_whole: bool


class KeyUses:
    """Counts what it is given; every method may be called from any thread."""

    def __init__(self) -> None:
        self.on_full = threading.Event()
        """Set when there is so much that it should be taken soon."""
        self._lock = threading.Lock()
        self._uses: Uses = {}
        self._seq = 0
        # Nobody has said yet what is known of the lines before that.
        self._is_whole = False

    def begin(self, seq: int) -> None:
        """Tell which line of the log was the last one before the first call of ``count``."""
        with self._lock:
            self._seq = max(self._seq, seq)

    def count(self, guest: str, records: bytes, seq: int) -> None:
        """Count records that were stored, the last of them as line *seq*; for ``AuditLog.follow_records``."""
        found: Uses = {}
        for record in ffi.from_buffer("struct vks_audit_record[]", records):
            op = _OPS.get(record.op)
            if op is not None and record.status in _USED:
                kind = UseKind(guest, bytes(record.key_id), record.key_version, op)
                count = lib.vks_audit_covered_requests(record.covered)
                add(found, kind, Tally(record.time_ns // 1_000_000_000, count))
        with self._lock:
            self._seq = seq
            for kind, tally in found.items():
                add(self._uses, kind, tally)
            if len(self._uses) > KINDS_MAX // 2:
                self.on_full.set()
            if len(self._uses) > KINDS_MAX:
                self._uses, self._is_whole = {}, False

    def take(self) -> Taken:
        """Give what was counted since the last call."""
        with self._lock:
            taken = Taken(self._uses, self._seq, self._is_whole)
            self._uses, self._is_whole = {}, True
            self.on_full.clear()
            return taken

    def lose(self) -> None:
        """Say that what was taken last came to nothing: it has to be counted anew."""
        with self._lock:
            self._uses, self._is_whole = {}, False


def logged_uses(reader: AuditReader, after: int, until: int) -> Iterator[Taken]:
    """Count what the log says behind line *after*, up to line *until*, in pieces.

    Raises:
        AuditError: it cannot be read.
    """
    while after < until:
        lines, after = reader.page(after, until, PAGE_LINES)
        found: Uses = {}
        for line in lines:
            kind = _logged_kind(line)
            if kind is not None:
                add(found, kind, Tally(_seconds(str(line.get("time"))), int(line.get("count", 1))))
        yield Taken(found, after, is_whole=True)
        if not lines:
            return


def add(uses: Uses, kind: UseKind, tally: Tally) -> None:
    """Add to what was counted of a kind."""
    known = uses.get(kind)
    uses[kind] = tally if known is None else Tally(max(known.last_s, tally.last_s), known.count + tally.count)


def _logged_kind(line: Mapping[str, Any]) -> UseKind | None:
    op = _OP_WORDS.get(str(line.get("op")))
    if line.get("kind") != "use" or op is None or line.get("status") not in _USED_WORDS or not line.get("key_id"):
        return None
    return UseKind(str(line["guest"]), bytes.fromhex(str(line["key_id"])), int(line["version"]), op)


def _seconds(text: str) -> int:
    return int(datetime.fromisoformat(text[:19] + "+00:00").timestamp())
