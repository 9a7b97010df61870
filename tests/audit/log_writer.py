# SPDX-License-Identifier: Apache-2.0
"""A log with a key of its own, and the forger who can do everything but sign."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from vmm_keystore._vks import ffi, lib
from vmm_keystore.audit.keeper import AuditKeeper
from vmm_keystore.audit.line import START, Link, add_lines
from vmm_keystore.audit.log import AuditLog
from vmm_keystore.audit.note import AuditPublicKey, checkpoint_text
from vmm_keystore.audit.segments import Segment, list_segments, read_lines, segment_path
from vmm_keystore.policy.vocabulary import Mechanism, Op, Status

KEY_ID = bytes(range(16))
NOW_NS = 1_795_446_000_123_456_789


class Signer:
    """An audit key in the clear, as only tests have it; *refuses* makes it fail."""

    def __init__(self) -> None:
        self._key = Ed25519PrivateKey.generate()
        self.public = AuditPublicKey(self._key.public_key().public_bytes_raw())
        self.refuses: Exception | None = None

    def sign(self, head: Link) -> str:
        """Sign a head."""
        if self.refuses is not None:
            raise self.refuses
        text = checkpoint_text(self.public.origin, head)
        return self.public.signed_note(text, self._key.sign(text.encode()))

    def open_note(self, note: str) -> Link:
        """Read a note of ours."""
        return self.public.open_note(note)


def records(*numbers: int, **fields: Any) -> bytes:
    """Records of signatures as a worker writes them."""
    array = ffi.new("struct vks_audit_record[]", [record(number, **fields) for number in numbers])
    return bytes(ffi.buffer(array))


def record(number: int, **fields: Any) -> dict[str, Any]:
    """One of them."""
    return {
        "record": number,
        "request_sequence": number,
        "time_ns": NOW_NS + number,
        "covered": lib.vks_audit_covered(32),
        "key_id": KEY_ID,
        "key_version": 1,
        "op": Op.SIGN,
        "mechanism": Mechanism.ECDSA_SHA256,
        "status": Status.OK,
        "attempt": 1,
        **fields,
    }


def open_log(directory: Path, segment_bytes_max: int = 3000) -> AuditLog:
    """A log with small segments."""
    return AuditLog(directory, {KEY_ID: "web"}.get, segment_bytes_max)


def write_log(directory: Path, signer: Signer, *, rounds: int = 12, compress: bool = True) -> str:
    """Write some segments, a checkpoint every second round; the last checkpoint."""
    log = open_log(directory)
    keeper = AuditKeeper(log, signer)
    note = ""
    for i in range(rounds):
        log.append_records("vm1", records(*range(3 * i + 1, 3 * i + 4)))
        log.append_change(i + 1, {"action": "grant-add", "uid": 0})
        if i % 2:
            note = keeper.checkpoint()
    log.close()
    if compress:
        keeper.compress()
    return note


def plain_lines(segment: Segment) -> list[bytes]:
    """Its lines, without newlines."""
    return [line.rstrip(b"\n") for line, _ in read_lines(segment.path)]


def rechain(directory: Path, bodies: Iterable[dict[str, Any]], first_seqs: Iterable[int]) -> None:
    """What a forger does: write the whole log anew, every number and hash right, in segments that start as given."""
    for segment in list_segments(directory):
        segment.path.unlink()
    starts = sorted(first_seqs)
    link = START
    path = segment_path(directory, 1)
    for fields in bodies:
        own = {name: value for name, value in fields.items() if name not in {"seq", "prev"}}
        if link.seq + 1 in starts:
            path = segment_path(directory, link.seq + 1)
        body = json.dumps(own, separators=(",", ":"), ensure_ascii=False).encode()
        line, link = add_lines(link, [body])
        with path.open("ab") as file:
            file.write(line)


def all_fields(directory: Path) -> list[dict[str, Any]]:
    """Every line, parsed."""
    return [json.loads(line) for segment in list_segments(directory) for line in plain_lines(segment)]
