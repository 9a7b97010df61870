# SPDX-License-Identifier: Apache-2.0
"""Audit records of a worker (``struct vks_audit_record``) as bodies of lines.

A worker that fell may write anything here: every value is taken as a number, none is trusted.
"""

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from vmm_keystore._vks import ffi, lib
from vmm_keystore.audit.line import encode_body, time_text
from vmm_keystore.errors import AuditError
from vmm_keystore.policy.vocabulary import Mechanism, Op, Status

RECORD_BYTES = ffi.sizeof("struct vks_audit_record")
NO_KEY_ID = bytes(16)

OPS = {int(op): op.text for op in Op}
_MECHANISMS: dict[int, str | None] = {0: None, **{int(mechanism): mechanism.text for mechanism in Mechanism}}
STATUSES = {int(status): status.text for status in Status}


class UseBody(NamedTuple):
    """The body of one record's line, and what tells the record from every other one of its guest."""

    number: int
    time: str
    body: bytes


def use_bodies(guest: str, records: bytes, label_of: Callable[[bytes], str | None]) -> Iterator[UseBody]:
    """Decode whole records, in order.

    Raises:
        AuditError: *records* is no whole number of them.
    """
    count, rest = divmod(len(records), RECORD_BYTES)
    if rest:
        raise AuditError(f"{len(records)} bytes are no whole number of audit records")
    decoded = ffi.from_buffer("struct vks_audit_record[]", records)
    # Most records of a drain differ in numbers only: what they share is written once.
    shared: dict[tuple[Any, ...], str] = {}
    for i in range(count):
        record = decoded[i]
        key = (
            bytes(record.key_id),
            record.key_version,
            record.op,
            record.mechanism,
            record.status,
            record.flags,
            record.uid,
        )
        middle = shared.get(key)
        if middle is None:
            middle = shared[key] = _shared_members(guest, record, label_of)
        time = time_text(record.time_ns)
        body = (
            f'{{"time":"{time}",{middle},"bytes":{lib.vks_audit_covered_bytes(record.covered)},'
            f'"count":{lib.vks_audit_covered_requests(record.covered)},'
            f'"request":{record.request_sequence},"attempt":{record.attempt},"queue":{record.queue},'
            f'"record":{record.record}}}'
        )
        yield UseBody(record.record, time, body.encode())


def _shared_members(guest: str, record: Any, label_of: Callable[[bytes], str | None]) -> str:
    key_id = bytes(record.key_id)
    members = {
        "kind": "use",
        "guest": guest,
        "op": OPS.get(record.op) or f"operation-{record.op}",
        "mechanism": _MECHANISMS.get(record.mechanism, f"mechanism-{record.mechanism}"),
        "key": label_of(key_id),
        "key_id": None if key_id == NO_KEY_ID else key_id.hex(),
        "version": record.key_version,
        "status": STATUSES.get(record.status) or f"status-{record.status}",
        "uid": record.uid if record.flags & lib.VKS_AUDIT_F_UID else None,
        "digest": bool(record.flags & lib.VKS_AUDIT_F_DIGEST),
    }
    if record.flags & lib.VKS_AUDIT_F_SET_ASIDE:
        members["set_aside"] = True
    return encode_body(members)[1:-1].decode()
