# SPDX-License-Identifier: Apache-2.0
"""Rounds put together: medians, ratios, ``build/bench.json`` and the table."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median

from framework.ring_load import Sample
from rich.console import Console
from rich.table import Table

from bench.take import Take


@dataclass(frozen=True, slots=True)
class Row:
    """One subject doing one thing, the medians of *rounds* rounds.

    ``ratio_to_libcrypto`` is the median of the rounds' own ratios: both sides of each were measured one after the other.
    ``queue_depth`` is how many requests are under way, of all clients together, and on each ring. ``cpus`` says where everybody ran: who
    does the cryptography ``|`` who asks, or all of them on each.
    """

    subject: str
    op: str
    size_bytes: int
    queue_depth: int
    rings: int
    clients: int
    cpus: str
    engine: str
    polling: bool
    ops_per_s: float
    ratio_to_libcrypto: float
    p50_us: float
    p99_us: float
    rounds: int


def make_row(take: Take, op: str, size_bytes: int, rounds: int, pairs: Sequence[tuple[Sample, Sample]]) -> Row:
    """Summarise what a subject did; with each sample is the one of libcrypto that went just before it."""
    samples = [sample for sample, _base in pairs]
    return Row(
        subject=take.subject,
        op=op,
        size_bytes=size_bytes,
        queue_depth=take.queue_depth,
        rings=take.rings,
        clients=take.clients,
        cpus=take.cpus,
        engine=take.engine,
        polling=take.polling,
        ops_per_s=round(median(sample.ops_per_s for sample in samples), 1),
        ratio_to_libcrypto=round(median(sample.ops_per_s / base.ops_per_s for sample, base in pairs), 4),
        p50_us=round(median(sample.p50_us for sample in samples), 3),
        p99_us=round(median(sample.p99_us for sample in samples), 3),
        rounds=rounds,
    )


def write_json(rows: Sequence[Row], path: Path) -> None:
    """Write every row."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps([asdict(row) for row in rows], indent=1) + "\n")


def print_table(rows: Sequence[Row]) -> None:
    """Show every row."""
    table = Table(box=None, pad_edge=False)
    for title in ("op", "bytes", "subject", "rings", "depth", "spin", "ops/s", "ratio", "p50 µs", "p99 µs"):
        table.add_column(title, justify="left" if title in {"op", "subject"} else "right")
    last = ""
    for row in rows:
        key = f"{row.op} {row.size_bytes}"
        table.add_row(
            row.op if key != last else "",
            str(row.size_bytes) if key != last else "",
            f"{row.subject} ({row.engine})" if row.engine not in {"", row.subject} else row.subject,
            str(row.rings),
            str(row.queue_depth),
            "yes" if row.polling else "",
            f"{row.ops_per_s:,.0f}",
            f"{row.ratio_to_libcrypto:.3g}",
            f"{row.p50_us:.1f}",
            f"{row.p99_us:.1f}",
        )
        last = key
    Console(width=130).print(table)
