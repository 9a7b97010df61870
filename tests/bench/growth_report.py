# SPDX-License-Identifier: Apache-2.0
"""Growth as it is read: ``build/bench-growth.json``, a table, and ``build/bench-growth.svg``."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.growth import Busy, GuestsRow, KeysRow
from bench.svg import Line, Panel, draw

GUESTS, KEYS = "guests attached", "keys granted"
US = "µs"


def write_growth(guests: Sequence[GuestsRow], keys: Sequence[KeysRow], json_path: Path) -> None:
    """Write every row, and the picture beside them."""
    rows = [{"curve": "guests", **asdict(row)} for row in guests] + [{"curve": "keys", **asdict(row)} for row in keys]
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(rows, indent=1) + "\n")
    panels = [row for row in (_guest_panels(guests), _key_panels(keys)) if row]
    title = "One busy guest (P-256 signatures, 8 under way) as others, and its keys, become more"
    note = "every worker sleeps between requests; memory is private pages, secret ones included"
    json_path.with_suffix(".svg").write_text(draw(title, note, panels, shared_y=False))


def print_growth(rows: Sequence[GuestsRow] | Sequence[KeysRow]) -> None:
    """Show every row."""
    if not rows:
        return
    own = {field.name for field in fields(rows[0])} - {field.name for field in fields(Busy)} - {"problem"}
    # What varies first, then what came of it.
    names = [field.name for field in fields(rows[0]) if field.name in own]
    names += [field.name for field in fields(Busy)]
    table = Table(box=None, pad_edge=False)
    for name in names:
        table.add_column(name.replace("_", " "), justify="right")
    for row in rows:
        facts = asdict(row)
        table.add_row(*(_cell(facts[name]) for name in names))
    Console(width=150).print(table)
    for row in rows:
        if isinstance(row, KeysRow) and row.problem:
            print(f"bench: {row.keys} keys: {row.problem}")


def _cell(value: object) -> str:
    if value is None:
        return "never"
    if isinstance(value, float):
        return f"{value:,.0f}" if value >= 1000 else f"{value:.3g}"
    return str(value)


def _guest_panels(rows: Sequence[GuestsRow]) -> list[Panel]:
    if not rows:
        return []

    def line(name: str, style: int, figure: Callable[[GuestsRow], float]) -> Line:
        return Line(name, tuple((row.guests, figure(row)) for row in rows), style)

    idle = [
        line("all processes", 2, lambda row: row.idle_cpu_percent),
        line("keystored", 3, lambda row: row.idle_keystored_percent),
    ]
    return [
        _panel(
            "throughput", GUESTS, "times libcrypto", [line("P-256", 0, lambda row: row.ratio_to_libcrypto)], log_y=False
        ),
        _panel("latency", GUESTS, US, [line("p50", 0, lambda row: row.p50_us), line("p99", 1, lambda row: row.p99_us)]),
        _panel(
            "nobody asks",
            GUESTS,
            "% of one core",
            idle,
            log_y=False,
        ),
    ]


def _key_panels(rows: Sequence[KeysRow]) -> list[Panel]:
    if not rows:
        return []

    def line(name: str, style: int, figure: Callable[[KeysRow], float | None]) -> Line:
        points = ((row.keys, figure(row)) for row in rows)
        return Line(name, tuple((keys, value) for keys, value in points if value is not None), style)

    latency = [
        line("p50", 0, lambda row: row.p50_us),
        line("p99", 1, lambda row: row.p99_us),
        line("p99 during the grant", 3, lambda row: row.hot_p99_us or None),
    ]
    seconds = [
        line("all granted: answer", 0, lambda row: row.to_answer_s),
        line("all granted: usable", 1, lambda row: row.to_usable_s),
        line("one more: usable", 2, lambda row: row.one_more_s),
    ]
    memory = [
        line("granted", 0, lambda row: row.worker_private_kib),
        line("each used once", 1, lambda row: row.used_private_kib),
        line("secret", 2, lambda row: row.worker_secret_kib),
    ]
    return [
        _panel("latency of one hot key", KEYS, US, latency),
        _panel("from a change to its use", KEYS, "seconds", seconds),
        _panel("memory of the worker", KEYS, "KiB", memory),
    ]


def _panel(title: str, x_title: str, y_title: str, lines: list[Line], *, log_y: bool = True) -> Panel:
    return Panel(title, x_title, y_title, tuple(line for line in lines if line.points), log_y=log_y)
