# SPDX-License-Identifier: Apache-2.0
"""What facts look like on a pipe."""

import pytest

from vmm_keystore.cli.audit_line import AuditColumns
from vmm_keystore.cli.output import aligned, cell, moment


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, "-"), ("", "-"), (True, "yes"), (False, "no"), (0, "0"), ([], "-"), (["a", "b"], "a,b"), ("x", "x")],
)
def test_cell(value: object, text: str) -> None:
    assert cell(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "-"),
        (0, "1970-01-01T00:00:00Z"),
        ("2026-11-23T15:00:00.123456+00:00", "2026-11-23T15:00:00Z"),
        ("2026-11-23T15:00:00Z", "2026-11-23T15:00:00Z"),
        ("2026-11-23T17:00:00+02:00", "2026-11-23T15:00:00Z"),
        ("2026-11-23T15:00:00.123456789Z", "2026-11-23T15:00:00Z"),
        ("99999999999.000000001s", "99999999999.000000001s"),
        ("yesterday", "yesterday"),
    ],
)
def test_times_are_utc_to_the_second(value: object, text: str) -> None:
    assert moment(value) == text


def test_columns_are_aligned_and_no_line_ends_in_blanks() -> None:
    assert aligned(["name", "keys"], [["a", 1], ["longer", None], ["b", ""]]).splitlines() == [
        "NAME    KEYS",
        "a       1",
        "longer  -",
        "b       -",
    ]


def test_a_table_without_rows_still_has_its_header() -> None:
    """A script that skips the first line finds nothing, not a sentence."""
    assert aligned(["name", "keys"], []) == "NAME  KEYS"


def test_audit_columns_stay_aligned_once_they_grew() -> None:
    columns = AuditColumns()
    first = {"time": 0, "guest": "a-long-name", "op": "sign", "key": "k", "version": 3, "status": "ok"}
    second = {
        "time": 0,
        "guest": "b",
        "op": "mac",
        "key": "kk",
        "status": "no-key",
        "bytes": 12,
        "prev": "00",
        "count": 1,
    }
    assert columns.lay_out(first) == "1970-01-01T00:00:00Z  a-long-name  sign  k/3  ok"
    assert columns.lay_out(second) == "1970-01-01T00:00:00Z  b            mac   kk   no-key  bytes=12"


def test_audit_lines_say_who_acted() -> None:
    columns = AuditColumns()
    assert "  admin uid 0  " in columns.lay_out(
        {"time": 0, "kind": "admin", "uid": 0, "action": "key-generate", "key": "k"}
    )
    assert "  keystored  " in columns.lay_out({"time": 0, "kind": "notice", "event": "started"})
    assert "  web uid 7  " in columns.lay_out({"time": 0, "kind": "use", "guest": "web", "uid": 7, "op": "sign"})
    unknown = columns.lay_out({"time": 0, "kind": "use", "guest": "web", "op": "sign", "key": None, "key_id": "00ff"})
    assert "  00ff  " in unknown


def test_audit_lines_of_changes_say_to_what_and_where_in_force() -> None:
    line = {
        "seq": 4,
        "time": 0,
        "kind": "admin",
        "action": "grant-add",
        "uid": 0,
        "pid": 7,
        "guest": "web",
        "key": "tls",
        "ops": ["sign", "verify"],
        "not_after_s": 0,
        "uids": [],
        "applied": {"web": "acknowledged"},
        "change": 3,
    }
    text = AuditColumns().lay_out(line)
    assert text.endswith("  admin uid 0  grant-add  tls  ok  guest=web ops=sign,verify applied=web:acknowledged")
