# SPDX-License-Identifier: Apache-2.0
"""Counts of what went to the audit log since this daemon started: for metrics, where trends matter and proof does not."""

import threading
from collections import Counter
from collections.abc import Callable
from typing import NamedTuple, Protocol

from vmm_keystore._vks import ffi, lib
from vmm_keystore.audit.record import RECORD_BYTES
from vmm_keystore.policy.vocabulary import Op, Status

_OPS = {int(op): op.text for op in Op}
_STATUSES = {int(status): status.text for status in Status}


class Use(NamedTuple):
    """What is counted apart; a guest that makes keys and operations up adds one line, *other*, and not thousands."""

    guest: str
    key: str
    op: str
    status: str


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
        requests: Counter[Use] = Counter()
        input_bytes: Counter[Use] = Counter()
        for record in ffi.from_buffer(
            "struct vks_audit_record[]", records[: len(records) // RECORD_BYTES * RECORD_BYTES]
        ):
            use = Use(
                guest,
                self._label_of(bytes(record.key_id)) or "",
                _OPS.get(record.op, "other"),
                _STATUSES.get(record.status, "other"),
            )
            requests[use] += lib.vks_audit_covered_requests(record.covered)
            input_bytes[use] += lib.vks_audit_covered_bytes(record.covered)
        with self._lock:
            self._requests.update(requests)
            self._input_bytes.update(input_bytes)

    def totals(self) -> list[tuple[Use, int, int]]:
        """Requests and input bytes so far."""
        with self._lock:
            return [(use, count, self._input_bytes[use]) for use, count in sorted(self._requests.items())]
