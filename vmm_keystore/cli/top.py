# SPDX-License-Identifier: Apache-2.0
"""``vmm-keystore top``: what guests do with keys just now, out of two readings of the daemon's figures."""

from __future__ import annotations

import contextlib
import math
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from vmm_keystore.cli.failure import UsageError
from vmm_keystore.cli.output import aligned, cell, moment, plain, show_json_line
from vmm_keystore.cli.session import Session, command

app = typer.Typer()

MEMBERS = ("guest", "key", "op", "status")
FRAME_LINES = 5
"""What a terminal needs beside the rows: sentence, blank line, header with its rule, what was left out."""

Group = tuple[str, ...]
DURATION = "vmm_keystore_request_duration_seconds_bucket"


@dataclass(frozen=True)
class Reading:
    """Counts since keystored started, by what was asked for."""

    at_s: float
    uptime_s: float = 0.0
    operations: Counter[Group] = field(default_factory=Counter)
    refused: Counter[Group] = field(default_factory=Counter)
    input_bytes: Counter[Group] = field(default_factory=Counter)
    within: Counter[tuple[Group, float]] = field(default_factory=Counter)
    """Requests that took no longer than so many seconds; none where outcomes are told apart, which times are not by."""

    def follows(self, earlier: Reading) -> bool:
        """Whether both are of one run of keystored."""
        grown = all(self.operations[group] >= count for group, count in earlier.operations.items())
        return grown and self.uptime_s >= earlier.uptime_s


@command(app, "top")
def top(
    session: Session,
    *,
    interval: Annotated[
        float, typer.Option("--interval", "-i", metavar="SECONDS", min=0.2, max=86400, help="How long to count.")
    ] = 2.0,
    count: Annotated[
        int | None, typer.Option("--count", "-n", metavar="N", min=1, help="End after N times; else go on.")
    ] = None,
    by: Annotated[
        str, typer.Option("--by", metavar="NAME,…", help="What to count by: guest, key, op, status.")
    ] = "guest,key,op",
) -> None:
    """Show operations as they happen: a second's, by guest, key and operation, the busiest first.

    On a terminal one picture that is drawn anew; on a pipe one table after the other, with --json a line each time.
    Operations count when they are on record. Half of them took p50 at most, all but one in a hundred p99, estimated
    from the histograms of the metrics. Ends when interrupted.
    """
    names = _names(by)
    with contextlib.suppress(KeyboardInterrupt), _picture(names, as_json=session.as_json) as show:
        earlier = _read(session, names)
        done = 0
        while count is None or done < count:
            time.sleep(interval)
            later = _read(session, names)
            # Times are kept beside the guests' rings: they go on when keystored begins anew.
            show(earlier if later.follows(earlier) else Reading(earlier.at_s, within=earlier.within), later)
            earlier = later
            done += 1


def _names(by: str) -> Group:
    names = tuple(by.split(","))
    for name in names:
        if name not in MEMBERS or names.count(name) > 1:
            raise UsageError(f"cannot count by '{by}'", f"names of {', '.join(MEMBERS)}, each at most once")
    return names


def _read(session: Session, names: Group) -> Reading:
    from prometheus_client.parser import text_string_to_metric_families  # noqa: PLC0415  # for this command only

    text = session.keystored.get_text("metrics")
    at_s, uptime_s = time.monotonic(), 0.0
    # An idle connection would not live as long as a long interval.
    session.keystored.close()
    operations: Counter[Group] = Counter()
    refused: Counter[Group] = Counter()
    input_bytes: Counter[Group] = Counter()
    within: Counter[tuple[Group, float]] = Counter()
    for sample in (sample for family in text_string_to_metric_families(text) for sample in family.samples):
        group, value = tuple(sample.labels.get(name, "") for name in names), int(sample.value)
        match sample.name:
            case "vmm_keystore_operations_total":
                operations[group] += value
                if sample.labels["status"] != "ok":
                    refused[group] += value
            case "vmm_keystore_input_bytes_total":
                input_bytes[group] += value
            case "vmm_keystore_uptime_seconds":
                uptime_s = sample.value
            case name if name == DURATION and "status" not in names:
                within[group, float(sample.labels["le"])] += value
    return Reading(at_s, uptime_s, operations, refused, input_bytes, within)


def _rates(names: Group, earlier: Reading, later: Reading) -> list[dict[str, Any]]:
    """What happened between two readings, a second; the busiest first, the idle not at all."""
    seconds = later.at_s - earlier.at_s
    busy = (later.operations - earlier.operations).most_common()
    within: dict[Group, list[tuple[float, int]]] = {}
    for (group, bound_s), count in sorted(later.within.items()):
        within.setdefault(group, []).append((bound_s, count - earlier.within[group, bound_s]))

    def rate(of: Counter[Group], since: Counter[Group], group: Group) -> float:
        return round((of[group] - since[group]) / seconds, 1)

    def quantile_us(group: Group, share: float) -> float | None:
        found_s = _quantile(within.get(group, ()), share)
        return None if found_s is None else round(found_s * 1e6, 1)

    return [
        {
            **dict(zip(names, group, strict=True)),
            "operations_per_s": rate(later.operations, earlier.operations, group),
            "bytes_per_s": rate(later.input_bytes, earlier.input_bytes, group),
            "refused_per_s": rate(later.refused, earlier.refused, group),
            "p50_us": quantile_us(group, 0.5),
            "p99_us": quantile_us(group, 0.99),
        }
        for group, _ in busy
    ]


def _quantile(within: Sequence[tuple[float, int]], share: float) -> float | None:
    """Within what time such a share of requests was answered, as Prometheus' histogram_quantile estimates it.

    Args:
        within: requests up to each bound in seconds, in its order, up to infinity.
        share: below 1.

    Returns:
        Seconds; the last finite bound for what took longer, None where nothing was answered.
    """
    if not within or within[-1][1] <= 0:
        return None
    rank = share * within[-1][1]
    low_s, below = 0.0, 0
    for bound_s, count in within:
        if count >= rank:
            if math.isinf(bound_s):
                break
            return low_s + (bound_s - low_s) * (rank - below) / (count - below)
        low_s, below = bound_s, count
    return low_s


# -- showing it ------------------------------------------------------------------------------------------------------

Show = Callable[[Reading, Reading], None]


@contextmanager
def _picture(names: Group, *, as_json: bool) -> Iterator[Show]:
    if as_json:
        yield lambda earlier, later: _show_line(names, earlier, later)
    elif sys.stdout.isatty():
        with _screen(names) as show:
            yield show
    else:
        yield lambda earlier, later: _show_text(names, earlier, later)


def _show_line(names: Group, earlier: Reading, later: Reading) -> None:
    seconds = round(later.at_s - earlier.at_s, 3)
    show_json_line({"time": _now(), "seconds": seconds, "uses": _rates(names, earlier, later)})
    sys.stdout.flush()


def _show_text(names: Group, earlier: Reading, later: Reading) -> None:
    rows = _rates(names, earlier, later)
    print(_sentence(rows), aligned(_columns(names), _cells(rows)), "", sep="\n", flush=True)


@contextmanager
def _screen(names: Group) -> Iterator[Show]:
    from rich import box  # noqa: PLC0415  # only terminals need it
    from rich.console import Console  # noqa: PLC0415
    from rich.console import Group as Lines  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415
    from rich.table import Table  # noqa: PLC0415

    console = Console()

    def show(earlier: Reading, later: Reading) -> None:
        rows = _rates(names, earlier, later)
        room = max(1, console.height - FRAME_LINES)
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, header_style="bold")
        for name in _columns(names):
            table.add_column(name, justify="left" if name in names else "right", no_wrap=True)
        for row in _cells(rows[:room]):
            table.add_row(*(plain(cell(value)) for value in row))
        rest = plain(f"and {len(rows) - room} more" if len(rows) > room else "")
        live.update(Lines(plain(_sentence(rows)), "", table, rest), refresh=True)

    waiting = plain("counting; Ctrl-C ends")
    with Live(waiting, console=console, screen=True, auto_refresh=False) as live:
        yield show


def _columns(names: Group) -> Sequence[str]:
    return [*names, "ops/s", "bytes/s", "refused/s", "p50 us", "p99 us"]


def _cells(rows: list[dict[str, Any]]) -> list[list[object]]:
    return [list(row.values()) for row in rows]


def _sentence(rows: list[dict[str, Any]]) -> str:
    operations = sum(row["operations_per_s"] for row in rows)
    refused = sum(row["refused_per_s"] for row in rows)
    return f"{_now()}  {operations:.1f} operations/s, {refused:.1f} of them refused"


def _now() -> str:
    return moment(datetime.now(UTC).timestamp())
