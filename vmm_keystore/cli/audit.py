# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore audit``: what was done with the keys, by whom, with which outcome."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from vmm_keystore.cli.audit_line import AuditColumns
from vmm_keystore.cli.complete import complete_guest
from vmm_keystore.cli.failure import CommandError, UsageError
from vmm_keystore.cli.output import show_facts, show_json, show_json_line
from vmm_keystore.cli.session import Session, command

app = typer.Typer(help="The audit log.", no_args_is_help=True, rich_markup_mode=None)

PAGE_LINES = 1000
FOLLOW_PERIOD_S = 0.25

Line = dict[str, Any]
Guest = Annotated[
    str | None, typer.Option("--guest", metavar="NAME", help="Only of this guest.", autocompletion=complete_guest)
]


@command(app, "tail")
def audit_tail(
    session: Session,
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", min=1, max=PAGE_LINES, help="How many of the last lines.")
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until interrupted.")] = False,
    guest: Guest = None,
) -> None:
    """Show the newest lines."""
    page = session.keystored.get("audit", limit=count)
    columns = AuditColumns()
    _show(session, columns, page["lines"], guest)
    while follow:
        time.sleep(FOLLOW_PERIOD_S)
        page = session.keystored.get("audit", after=page["last_seq"], limit=PAGE_LINES)
        _show(session, columns, page["lines"], guest)


@command(app, "export")
def audit_export(
    session: Session,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="New file to write; else standard output.")
    ] = None,
    after: Annotated[int, typer.Option("--after", metavar="SEQ", min=0, help="Only lines behind this one.")] = 0,
    guest: Guest = None,
) -> None:
    """Write every line as JSON Lines, chain hashes included."""
    lines = _matching(_all_lines(session, after), guest)
    if output is None:
        for line in lines:
            show_json_line(line)
        return
    with _new_file(output) as file:
        count = 0
        for line in lines:
            show_json_line(line, file)
            count += 1
    print(f"{count} lines written to {output}")


@command(app, "verify")
def audit_verify(
    session: Session,
    files: Annotated[
        Path | None,
        typer.Option("--files", metavar="DIR", help="Check the audit files in this folder, without keystored."),
    ] = None,
) -> None:
    """Check the hash chain of the whole log."""
    found = session.keystored.get("audit", "verify") if files is None else _verify_files(files)
    if session.as_json:
        show_json(found)
    else:
        show_facts({"lines": found["lines"], "segments": found["segments"], "last hash": found["last_hash"]})
    if not found["ok"]:
        raise CommandError(f"the audit log does not hold: {found['problem']}", "keep the files as they are as evidence")
    if not session.as_json:
        print("the chain holds")


def _verify_files(folder: Path) -> dict[str, Any]:
    from vmm_keystore.audit.verify import verify_chain  # noqa: PLC0415  # hashing, for this option only

    if not folder.is_dir():
        raise UsageError(f"{folder} is not a folder", "name the folder audit in keystored's state folder, or a copy")
    report = verify_chain(folder)
    return {
        "ok": report.ok,
        "lines": report.lines,
        "segments": report.segments,
        "last_seq": report.last_seq,
        "last_hash": report.last_hash,
        "torn_bytes": report.torn_bytes,
        "problem": report.problem,
    }


def _all_lines(session: Session, after: int) -> Iterator[Line]:
    while True:
        page = session.keystored.get("audit", after=after, limit=PAGE_LINES)
        if not page["lines"]:
            return
        yield from page["lines"]
        after = page["last_seq"]


def _matching(lines: Iterable[Line], guest: str | None) -> Iterator[Line]:
    return (line for line in lines if guest is None or line.get("guest") == guest)


def _show(session: Session, columns: AuditColumns, lines: list[Line], guest: str | None) -> None:
    matching = list(_matching(lines, guest))
    columns.fit(matching)
    for line in matching:
        if session.as_json:
            show_json_line(line)
        else:
            print(columns.lay_out(line))
    sys.stdout.flush()


def _new_file(path: Path) -> IO[str]:
    # The log names users and keys: not for everybody. O_EXCL: an export never overwrites another.
    try:
        return os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600), "w")
    except FileExistsError as error:
        raise CommandError(f"{path} exists", "export to a new file") from error
