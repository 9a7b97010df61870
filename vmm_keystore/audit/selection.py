# SPDX-License-Identifier: Apache-2.0
"""Which lines of the log somebody wants to see. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Selection:
    """Everything given must hold; empty means any.

    *op* is an operation or an admin action, *status* the word of an outcome, *since* and *until* are times as lines
    write them (ISO 8601, UTC): the first that counts, and the first that counts no more.
    """

    guest: str = ""
    key: str = ""
    op: str = ""
    status: str = ""
    since: str = ""
    until: str = ""

    def may_match(self, line: bytes) -> bool:
        """Leave out, before a line is parsed, what cannot match."""
        return all(needle in line for needle in self._needles)

    def matches(self, fields: Mapping[str, Any]) -> bool:
        """Tell whether a line is wanted."""
        time = str(fields.get("time", ""))
        return (
            (not self.guest or fields.get("guest") == self.guest)
            and (not self.key or self.key in {fields.get("key"), fields.get("key_id")})
            and (not self.op or self.op in {fields.get("op"), fields.get("action"), fields.get("event")})
            and (not self.status or fields.get("status", "ok") == self.status)
            and (not self.since or time >= self.since)
            and (not self.until or time < self.until)
        )

    @cached_property
    def _needles(self) -> tuple[bytes, ...]:
        # The status is not among them: a line without one counts as ok.
        return tuple(json.dumps(word, ensure_ascii=False).encode() for word in (self.guest, self.key, self.op) if word)


EVERYTHING = Selection()
