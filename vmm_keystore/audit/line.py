# SPDX-License-Identifier: Apache-2.0
"""One line of the log: how it is written, read and chained. Pure: bytes in, bytes out."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

FIRST_PREV = "0" * 64
_NS = 1_000_000_000
_ENCODER = json.JSONEncoder(separators=(",", ":"), ensure_ascii=False, check_circular=False)


@dataclass(frozen=True, slots=True)
class Link:
    """Where the chain stands: number and hash of its last line."""

    seq: int
    line_hash: str


START = Link(0, FIRST_PREV)


def add_line(link: Link, fields: Mapping[str, Any]) -> tuple[bytes, Link]:
    """Write *fields* as the line after *link*; return it with its newline, and where the chain stands then."""
    line = _ENCODER.encode({"seq": link.seq + 1, **fields, "prev": link.line_hash}).encode()
    return line + b"\n", Link(link.seq + 1, hash_line(line))


def hash_line(line: bytes) -> str:
    """Hash a line without its newline."""
    return hashlib.sha256(line).hexdigest()


def parse_line(line: bytes) -> dict[str, Any] | None:
    """Read a line; None when it is not one of ours."""
    try:
        fields = json.loads(line)
    except ValueError:
        return None
    if (
        not isinstance(fields, dict)
        or not isinstance(fields.get("seq"), int)
        or not isinstance(fields.get("prev"), str)
    ):
        return None
    return fields


def time_text(time_ns: int) -> str:
    """Write a UNIX time in nanoseconds as ISO 8601; any 64-bit number that a worker announces fits."""
    seconds, nanoseconds = divmod(time_ns, _NS)
    return f"{_seconds_text(seconds)}.{nanoseconds:09}Z"


@lru_cache(maxsize=16)
def _seconds_text(seconds: int) -> str:
    # Thousands of records share a second.
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%S}"
