# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore audit``: what was done with the keys, by whom, with which outcome."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO, Annotated, Any

import typer

from vmm_keystore.cli.audit_line import AuditColumns
from vmm_keystore.cli.complete import complete_guest
from vmm_keystore.cli.failure import CommandError, UsageError
from vmm_keystore.cli.output import show_facts, show_json, show_json_line, show_table
from vmm_keystore.cli.session import Session, command
from vmm_keystore.cli.time_option import as_time

app = typer.Typer(name="audit", help="The audit log.", no_args_is_help=True, rich_markup_mode=None)

PAGE_LINES = 1000
FOLLOW_PERIOD_S = 0.25

Line = dict[str, Any]
Key = Annotated[str | None, typer.Option("--key", metavar="LABEL", help="Only with this key, by label or id.")]
Op = Annotated[
    str | None, typer.Option("--op", metavar="OP", help="Only this operation, administrative change or event.")
]
Status = Annotated[str | None, typer.Option("--status", metavar="STATUS", help="Only with this outcome: ok, denied, …")]
Since = Annotated[
    str | None,
    typer.Option("--since", metavar="TIME", help="Only from this time on: ISO 8601, or an age as 90s 15m 2h 7d."),
]
Until = Annotated[str | None, typer.Option("--until", metavar="TIME", help="Only before this time.")]
Guest = Annotated[
    str | None, typer.Option("--guest", metavar="NAME", help="Only of this guest.", autocompletion=complete_guest)
]


@command(app, "tail")
def audit_tail(
    session: Session,
    *,
    count: Annotated[
        int, typer.Option("--count", "-n", metavar="N", min=1, max=PAGE_LINES, help="How many of the last lines.")
    ] = 20,
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on with new lines until interrupted.")] = False,
    guest: Guest = None,
    key: Key = None,
    op: Op = None,
    status: Status = None,
    since: Since = None,
) -> None:
    """Show the newest lines."""
    wanted = _wanted(guest=guest, key=key, op=op, status=status, since=as_time(since))
    page = session.keystored.get("audit", limit=count, **wanted)
    columns = AuditColumns()
    _show(session, columns, page["lines"])
    while follow:
        seen = page["last_seq"]
        page = session.keystored.get("audit", after=seen, limit=PAGE_LINES, **wanted)
        _show(session, columns, page["lines"])
        if page["last_seq"] == seen:
            time.sleep(FOLLOW_PERIOD_S)


@command(app, "export")
def audit_export(
    session: Session,
    *,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="New file to write; else standard output.")
    ] = None,
    after: Annotated[int, typer.Option("--after", metavar="SEQ", min=0, help="Only lines behind this one.")] = 0,
    guest: Guest = None,
    key: Key = None,
    op: Op = None,
    status: Status = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Write lines as JSON Lines, chain hashes included."""
    wanted = _wanted(guest=guest, key=key, op=op, status=status, since=as_time(since), until=as_time(until))
    lines = _all_lines(session, after, wanted)
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


@command(app, "public-key")
def audit_public_key(
    session: Session,
    pem: Annotated[bool, typer.Option("--pem", help="As PEM; else in one line, as note verifiers take it.")] = False,
) -> None:
    """Print the key that checkpoints are signed with; verify --public-key takes both forms."""
    key = session.keystored.get("audit", "public-key")
    if session.as_json:
        show_json(key)
    else:
        print(key["pem"].strip() if pem else key["vkey"])


@command(app, "checkpoint")
def audit_checkpoint(session: Session) -> None:
    """Sign the log as it stands and print the signed note: keep it elsewhere, verify --checkpoint takes it."""
    checkpoint = session.keystored.post("audit", "checkpoint")
    if session.as_json:
        show_json(checkpoint)
    else:
        print(checkpoint["note"], end="")


@command(app, "verify")
def audit_verify(
    session: Session,
    folder: Annotated[
        Path | None,
        typer.Argument(metavar="[DIR]", help="Check the audit files in this folder, or a copy, without keystored."),
    ] = None,
    public_key: Annotated[
        Path | None,
        typer.Option("--public-key", metavar="FILE", help="Check the signatures in DIR; audit public-key prints it."),
    ] = None,
    checkpoint: Annotated[
        list[Path] | None,
        typer.Option("--checkpoint", metavar="FILE", help="A kept checkpoint: DIR must still hold it. Repeatable."),
    ] = None,
) -> None:
    """Check the whole log: its hash chain, and the signatures on it."""
    if folder is None and (public_key or checkpoint):
        raise UsageError("--public-key and --checkpoint go with a folder", "vmm-keystore audit verify DIR …")
    if folder is None:
        found = session.keystored.get("audit", "verify")
    else:
        from vmm_keystore.cli.audit_files import verify_files  # noqa: PLC0415  # hashing, for this command only

        found = verify_files(folder, public_key, checkpoint or [])
    if session.as_json:
        show_json(found)
    else:
        show_facts(_findings(found))
    if not found["ok"]:
        raise CommandError(f"the audit log does not hold: {found['problem']}", "keep the files as they are as evidence")
    if not session.as_json:
        print("the chain holds")


@command(app, "report")
def audit_report(
    session: Session,
    by: Annotated[
        str, typer.Option("--by", metavar="NAME,…", help="What to count by: guest, key, op, status, mechanism, uid.")
    ] = "guest,key,op",
    folder: Annotated[
        Path | None, typer.Argument(metavar="[DIR]", help="Audit folder, or a copy; else that of keystored's state.")
    ] = None,
    since: Since = None,
    until: Until = None,
) -> None:
    """Count operations and bytes: in the files themselves, or where one may not read them, by asking for every line."""
    from vmm_keystore.audit.report import count_lines  # noqa: PLC0415
    from vmm_keystore.cli.audit_files import report_files  # noqa: PLC0415

    names = [name.strip() for name in by.split(",")]
    begin, end = as_time(since), as_time(until)
    own = folder is None
    if folder is None:
        # A page of nothing: what the workers have recorded is in the files when it is answered.
        session.keystored.get("audit", limit=1)
        folder = Path(session.keystored.get("status")["state_dir"]) / "audit"
    if own and not os.access(folder, os.R_OK | os.X_OK):
        rows = count_lines(_all_lines(session, 0, _wanted(since=begin, until=end)), names)
    else:
        rows = report_files(folder, names, begin, end)
    if session.as_json:
        show_json(rows)
    else:
        columns = [*names, "operations", "bytes", "refused"]
        show_table(columns, [[row[name] for name in columns] for row in rows], empty="nothing is recorded")


def _findings(found: dict[str, Any]) -> dict[str, object]:
    facts: dict[str, object] = {
        "lines": found["lines"],
        "segments": found["segments"],
        "last hash": found["last_hash"],
    }
    if found.get("checkpoints"):
        facts["checkpoints"] = found["checkpoints"]
        facts["signed lines"] = found["signed_seq"]
    if found.get("torn_bytes"):
        facts["torn bytes at the end"] = found["torn_bytes"]
    facts["signatures by"] = found.get("key") or "not checked"
    return facts


def _all_lines(session: Session, after: int, wanted: dict[str, str | None]) -> Iterator[Line]:
    while True:
        page = session.keystored.get("audit", after=after, limit=PAGE_LINES, **wanted)
        yield from page["lines"]
        if page["last_seq"] == after:
            return
        after = page["last_seq"]


def _wanted(**words: str | None) -> dict[str, str | None]:
    return words


def _show(session: Session, columns: AuditColumns, lines: list[Line]) -> None:
    columns.fit(lines)
    for line in lines:
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
