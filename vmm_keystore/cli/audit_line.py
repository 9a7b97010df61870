# SPDX-License-Identifier: Apache-2.0
"""One audit line as people read it: when, who, what, on which key, with which outcome, then the rest by name."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from vmm_keystore.cli.output import cell, moment

# In a column of their own, or of use to machines only.
_OWN_COLUMN = {"time", "kind", "uid", "op", "action", "event", "key", "version", "status"}
_MACHINE = {"seq", "prev", "key_id", "by_guest", "guest_uid", "record", "request", "queue", "change", "pid", "note"}
# What goes without saying.
_USUAL = {"count": 1, "attempt": 1, "digest": False, "input_bytes_max": 0, "not_before_s": 0, "not_after_s": 0}


class AuditColumns:
    """Columns that grow with what was shown, so that a followed log stays aligned without knowing what comes."""

    def __init__(self) -> None:
        self._widths = [0] * 5

    def fit(self, lines: Iterable[dict[str, Any]]) -> None:
        """Make room for lines that are known already."""
        for line in lines:
            self._texts(line)

    def lay_out(self, line: dict[str, Any]) -> str:
        """Say one audit line in one line of text."""
        columns = self._texts(line)
        shown = _OWN_COLUMN | _MACHINE | ({"guest"} if line.get("kind") != "admin" else set())
        rest = " ".join(
            f"{name}={cell(value)}" for name, value in line.items() if name not in shown and _is_telling(name, value)
        )
        text = "  ".join(column.ljust(width) for column, width in zip(columns, self._widths, strict=True))
        return f"{text}  {rest}".rstrip()

    def _texts(self, line: dict[str, Any]) -> list[str]:
        texts = [
            moment(line.get("time")),
            _actor(line),
            cell(line.get("op") or line.get("action") or line.get("event") or line.get("kind")),
            _key(line),
            cell(line.get("status", "ok")),
        ]
        self._widths = [max(width, len(text)) for width, text in zip(self._widths, texts, strict=True)]
        return texts


def _actor(line: dict[str, Any]) -> str:
    uid = line.get("uid")
    match line.get("kind"):
        case "admin" if line.get("by_guest"):
            return _guest(line["by_guest"], line.get("guest_uid"))
        case "admin":
            return f"admin uid {cell(uid)}"
        case "notice" | "checkpoint":
            return "keystored"
        case _:
            return _guest(line.get("guest"), uid)


def _guest(name: object, uid: object) -> str:
    return cell(name) if uid is None else f"{cell(name)} uid {cell(uid)}"


def _key(line: dict[str, Any]) -> str:
    key = cell(line.get("key") or line.get("key_id"))
    return f"{key}/{line['version']}" if line.get("version") else key


def _is_telling(name: str, value: object) -> bool:
    return value not in (None, "", [], {}) and (name not in _USUAL or _USUAL[name] != value)
