# SPDX-License-Identifier: Apache-2.0
"""Facts on standard output: tables for people, aligned text for pipes, JSON for programs."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from typing import IO, Any

Row = Sequence[object]


def cell(value: object) -> str:
    """Say one value the way tables show it."""
    match value:
        case None:
            return "-"
        case bool():
            return "yes" if value else "no"
        case str():
            return value or "-"
        case list() | tuple() | set() | frozenset():
            return ",".join(cell(entry) for entry in value) or "-"
        case dict():
            return ",".join(f"{name}:{cell(entry)}" for name, entry in value.items()) or "-"
        case _:
            return str(value)


def moment(value: object) -> str:
    """Say a time, given as UNIX seconds or ISO 8601, in UTC to the second."""
    if value is None:
        return "-"
    if isinstance(value, int | float):
        time = datetime.fromtimestamp(value, UTC)
    else:
        try:
            time = datetime.fromisoformat(str(value))
        except ValueError:
            return cell(value)
        time = time.astimezone(UTC) if time.tzinfo else time.replace(tzinfo=UTC)
    return time.strftime("%Y-%m-%dT%H:%M:%SZ")


def aligned(columns: Sequence[str], rows: Iterable[Row]) -> str:
    """Lay out a table as plain text: header, columns two blanks apart, nothing behind the last."""
    lines = [[name.upper() for name in columns], *([cell(value) for value in row] for row in rows)]
    widths = [max(len(line[index]) for line in lines) for index in range(len(columns))]
    return "\n".join(
        "  ".join(text.ljust(width) for text, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def show_table(columns: Sequence[str], rows: Sequence[Row], *, empty: str) -> None:
    """Print *rows*, or the sentence *empty* where there are none."""
    if not sys.stdout.isatty():
        print(aligned(columns, rows))
        return
    if not rows:
        print(empty)
        return
    from rich import box  # noqa: PLC0415  # rich costs 60 ms, only terminals need it
    from rich.console import Console  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name, overflow="fold")
    for row in rows:
        table.add_row(*(plain(cell(value)) for value in row))
    Console().print(table)


def show_facts(facts: Mapping[str, object]) -> None:
    """Print names and values, one a line."""
    width = max((len(name) for name in facts), default=0) + 2
    for name, value in facts.items():
        print(f"{name + ':':<{width}}{cell(value)}")


def show_json(value: Any) -> None:
    """Print *value* as JSON, indented."""
    print(json.dumps(value, indent=2))


def show_json_line(value: Any, file: IO[str] | None = None) -> None:
    """Print *value* as one line of JSON Lines, to standard output unless *file* is given.

    Written as keystored writes its audit lines, so that an exported line has the hash its successor names.
    """
    print(json.dumps(value, separators=(",", ":"), ensure_ascii=False), file=file)


def plain(text: str) -> Any:
    """Take *text* as it is: labels come from people, they are not markup."""
    from rich.text import Text  # noqa: PLC0415

    return Text(text)
