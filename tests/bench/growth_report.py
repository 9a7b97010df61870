# SPDX-License-Identifier: Apache-2.0
"""Growth as it is read: ``build/bench-growth.json``, a table, and ``build/bench-growth.svg``."""

import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.growth import Busy
from bench.growth_guests import GuestsRow
from bench.growth_keys import KeysRow, StoreRow
from bench.svg import Line, Panel, draw

GUESTS, KEYS, STORED = "guests attached", "keys granted", "keys in the store"
US = "µs"


def write_growth(
    guests: Sequence[GuestsRow], keys: Sequence[KeysRow], stored: Sequence[StoreRow], json_path: Path
) -> None:
    """Write every row, and the picture beside them."""
    curves: dict[str, Sequence[GuestsRow | KeysRow | StoreRow]] = {"guests": guests, "keys": keys, "stored": stored}
    rows = [{"curve": curve, **asdict(row)} for curve, its_rows in curves.items() for row in its_rows]
    json_path.parent.mkdir(parents=True, exist_ok=True)
    json_path.write_text(json.dumps(rows, indent=1) + "\n")
    panels = [row for row in (_guest_panels(guests), _key_panels(keys), _store_panels(stored)) if row]
    title = "One busy guest (P-256 signatures, 8 under way) as others, its keys, and all keys become more"
    note = "every worker sleeps between requests; memory is private pages, secret ones included"
    json_path.with_suffix(".svg").write_text(draw(title, note, panels, shared_y=False))


def print_growth(rows: Sequence[GuestsRow] | Sequence[KeysRow] | Sequence[StoreRow]) -> None:
    """Show every row."""
    if not rows:
        return
    own = {field.name for field in fields(rows[0])} - {field.name for field in fields(Busy)}
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


def _cell(value: object) -> str:
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

    def line(name: str, style: int, figure: Callable[[KeysRow], float]) -> Line:
        return Line(name, tuple((row.keys, figure(row)) for row in rows), style)

    latency = [
        line("the hot key, p50", 0, lambda row: row.hot_p50_us),
        line("p99", 1, lambda row: row.hot_p99_us),
        line("any other, p50", 2, lambda row: row.random_p50_us),
        line("p99", 3, lambda row: row.random_p99_us),
    ]
    seconds = [
        line("keystored's start", 0, lambda row: row.ready_s),
        line("the guest's first signature", 1, lambda row: row.first_s),
        line("one more key: usable", 2, lambda row: row.one_more_s),
    ]
    memory = [
        line("all", 0, lambda row: row.worker_private_kib),
        line("secret", 2, lambda row: row.worker_secret_kib),
    ]
    return [
        _panel("latency, keys at random beside a hot one", KEYS, US, latency),
        _panel("what grows with them", KEYS, "seconds", seconds),
        _panel("memory of the worker", KEYS, "KiB", memory),
    ]


def _store_panels(rows: Sequence[StoreRow]) -> list[Panel]:
    if not rows:
        return []

    def line(name: str, style: int, figure: Callable[[StoreRow], float]) -> Line:
        return Line(name, tuple((row.stored, figure(row)) for row in rows), style)

    latency = [line("p50", 0, lambda row: row.p50_us), line("p99", 1, lambda row: row.p99_us)]
    seconds = [
        line("keystored's start", 0, lambda row: row.ready_s),
        line("one more key: usable", 2, lambda row: row.one_more_s),
    ]
    return [
        _panel("latency", STORED, US, latency),
        _panel("what grows with them", STORED, "seconds", seconds),
        _panel("memory of keystored", STORED, "KiB", [line("private", 0, lambda row: row.keystored_private_kib)]),
    ]


def _panel(title: str, x_title: str, y_title: str, lines: list[Line], *, log_y: bool = True) -> Panel:
    return Panel(title, x_title, y_title, tuple(line for line in lines if line.points), log_y=log_y)
