# SPDX-License-Identifier: Apache-2.0
"""One line of the log: how it is written, read and chained. Pure: bytes in, bytes out; the chain itself is C."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from vmm_keystore._vks import ffi, lib
from vmm_keystore.errors import AuditError

FIRST_PREV = "0" * 64
SEQ_MAX = 2**63 - 1
_NS = 1_000_000_000
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)
_TAIL = b',"prev":"'
_TAIL_BYTES = len(_TAIL) + 64 + len(b'"}')
_PROBLEMS = {
    lib.VKS_AUDIT_CHAIN_NOT_A_LINE: "is not an audit line",
    lib.VKS_AUDIT_CHAIN_WRONG_NUMBER: "has another number: lines are missing, doubled or reordered",
    lib.VKS_AUDIT_CHAIN_WRONG_HASH: "does not follow from the line before it: one of the two was changed",
}


@dataclass(frozen=True, slots=True)
class Link:
    """Where the chain stands: number and hash of its last line."""

    seq: int
    line_hash: str


START = Link(0, FIRST_PREV)


def encode_body(fields: Mapping[str, Any]) -> bytes:
    """Write the members of a line that are its own, for ``add_lines``."""
    return _ENCODER.encode(fields).encode()


def add_lines(link: Link, bodies: Iterable[bytes]) -> tuple[bytes, Link]:
    """Write *bodies* as the lines after *link*; return them with their newlines, and where the chain stands then."""
    text = b"".join([body + b"\n" for body in bodies])
    room_bytes = len(text) + text.count(b"\n") * lib.VKS_AUDIT_LINK_TEXT_BYTES
    lines = ffi.new("uint8_t[]", room_bytes)
    standing = _native(link)
    written = lib.vks_audit_chain_add(standing, text, len(text), lines, room_bytes)
    if written < 0:
        raise AuditError(f"audit lines cannot be written: error {-written}")
    return bytes(ffi.buffer(lines, written)), _link(standing)


def check_lines(link: Link, lines: bytes | memoryview, seq_max: int = SEQ_MAX) -> tuple[Link, int, str]:
    """Follow the chain over whole lines, up to number *seq_max*.

    Returns:
        Where it stands then, how many bytes followed, and what is wrong with the line behind them; empty: nothing.
    """
    standing = _native(link)
    problem = ffi.new("uint32_t *")
    checked = lib.vks_audit_chain_check(standing, ffi.from_buffer(lines), len(lines), seq_max, problem)
    if checked < 0:
        raise AuditError(f"audit lines cannot be checked: error {-checked}")
    return _link(standing), int(checked), _PROBLEMS.get(problem[0], "")


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Read a line; None when it is not one of ours."""
    try:
        fields = json.loads(line)
    except (ValueError, RecursionError):
        return None
    if (
        not isinstance(fields, dict)
        or not isinstance(fields.get("seq"), int)
        or not isinstance(fields.get("prev"), str)
    ):
        return None
    return fields


def previous_hash(line: bytes) -> str | None:
    """Read the hash of the line before, from a line without its newline; None when there is none in its place."""
    tail = line[-_TAIL_BYTES:]
    digits = tail[len(_TAIL) : -2]
    if not tail.startswith(_TAIL) or not tail.endswith(b'"}') or digits.strip(b"0123456789abcdef"):
        return None
    return digits.decode()


def time_text(time_ns: int) -> str:
    """Write a UNIX time in nanoseconds as ISO 8601; any 64-bit number that a worker announces fits."""
    seconds, nanoseconds = divmod(time_ns, _NS)
    return f"{_seconds_text(seconds)}.{nanoseconds:09}Z"


@lru_cache(maxsize=16)
def _seconds_text(seconds: int) -> str:
    # Thousands of records share a second.
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"


def _native(link: Link) -> Any:
    return ffi.new("struct vks_audit_link *", {"seq": link.seq, "hash": bytes.fromhex(link.line_hash)})


def _link(standing: Any) -> Link:
    return Link(int(standing.seq), bytes(standing.hash).hex())
