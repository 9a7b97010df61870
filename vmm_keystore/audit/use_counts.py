# SPDX-License-Identifier: Apache-2.0
"""Counts of what went to the audit log since this daemon started: for metrics, which prove nothing."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

from vmm_keystore._vks import ffi, lib
from vmm_keystore.audit.record import OPS, STATUSES
from vmm_keystore.policy.vocabulary import OWNER_MARK, Status

REFUSED = frozenset({Status.DENIED.text, Status.NO_KEY.text, Status.KEY_STATE.text})


class Use(NamedTuple):
    """What is counted apart; a guest that makes keys and operations up adds one line, *other*, and not thousands."""

    guest: str
    key: str
    op: str
    status: str


def _counted_as(label: str) -> str:
    """A guest's own keys are counted together: it makes as many as it likes, one after the other."""
    owner, mark, _name = label.partition(OWNER_MARK)
    return f"{owner}{mark}*" if mark else label


class Sink(Protocol):
    """Where the records really go."""

    def append_records(self, guest: str, records: bytes) -> None:
        """Store them durably."""


class UseCounts:
    """An ``AuditSink`` that counts what the one behind it has stored. Each run of a request that was redone counts."""

    def __init__(self, sink: Sink, label_of: Callable[[bytes], str | None]) -> None:
        self._sink = sink
        self._label_of = label_of
        self._lock = threading.Lock()
        self._requests: Counter[Use] = Counter()
        self._input_bytes: Counter[Use] = Counter()

    def append_records(self, guest: str, records: bytes) -> None:
        """Store, then count."""
        self._sink.append_records(guest, records)
        # Most records of a drain are alike: words are looked up once for each kind.
        requests: Counter[tuple[bytes, int, int]] = Counter()
        input_bytes: Counter[tuple[bytes, int, int]] = Counter()
        for record in ffi.from_buffer("struct vks_audit_record[]", records):
            kind = (bytes(record.key_id), record.op, record.status)
            requests[kind] += lib.vks_audit_covered_requests(record.covered)
            input_bytes[kind] += lib.vks_audit_covered_bytes(record.covered)
        with self._lock:
            for kind, count in requests.items():
                key_id, op, status = kind
                use = Use(
                    guest,
                    _counted_as(self._label_of(key_id) or ""),
                    OPS.get(op, "other"),
                    STATUSES.get(status, "other"),
                )
                self._requests[use] += count
                self._input_bytes[use] += input_bytes[kind]

    def refusals(self) -> dict[str, int]:
        """Operations so far that a guest had no right to, by guest; one beyond a budget is none of these."""
        refusals: Counter[str] = Counter()
        with self._lock:
            for use, count in self._requests.items():
                if use.status in REFUSED:
                    refusals[use.guest] += count
        return refusals

    def totals(self) -> list[tuple[Use, int, int]]:
        """Requests and input bytes so far."""
        with self._lock:
            return [(use, count, self._input_bytes[use]) for use, count in sorted(self._requests.items())]
