# SPDX-License-Identifier: Apache-2.0
"""One audit line as people read it: when, who, what, on which key, with which outcome, then the rest by name."""

from __future__ import annotations

from typing import Any

from vmm_keystore.cli.output import cell, moment

# In a column of their own, or of use to machines only.
_OWN_COLUMN = {"time", "kind", "guest", "uid", "op", "action", "event", "key", "version", "status"}
_MACHINE = {"seq", "prev", "key_id", "record", "request", "queue", "change"}
# What goes without saying.
_USUAL = {"count": 1, "attempt": 1, "digest": False}


class AuditColumns:
    """Columns that grow with what was shown, so that a followed log stays aligned without knowing what comes."""

    def __init__(self) -> None:
        self._widths = [0] * 5

    def lay_out(self, line: dict[str, Any]) -> str:
        """Say one audit line in one line of text."""
        columns = [
            moment(line.get("time")),
            _actor(line),
            cell(line.get("op") or line.get("action") or line.get("event")),
            _key(line),
            cell(line.get("status", "ok")),
        ]
        self._widths = [max(width, len(text)) for width, text in zip(self._widths, columns, strict=True)]
        rest = " ".join(f"{name}={cell(value)}" for name, value in line.items() if _is_telling(name, value))
        text = "  ".join(column.ljust(width) for column, width in zip(columns, self._widths, strict=True))
        return f"{text}  {rest}".rstrip()


def _actor(line: dict[str, Any]) -> str:
    uid = line.get("uid")
    match line.get("kind"):
        case "admin":
            return f"admin uid {cell(uid)}"
        case "notice":
            return "keystored"
        case _:
            guest = cell(line.get("guest"))
            return guest if uid is None else f"{guest} uid {uid}"


def _key(line: dict[str, Any]) -> str:
    key = cell(line.get("key") or line.get("key_id"))
    return f"{key}/{line['version']}" if line.get("version") else key


def _is_telling(name: str, value: object) -> bool:
    return name not in _OWN_COLUMN | _MACHINE and value not in (None, "", [], {}) and _USUAL.get(name) != value
