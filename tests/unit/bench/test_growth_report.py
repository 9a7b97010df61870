# SPDX-License-Identifier: Apache-2.0
"""Growth's rows say which curve they are of, in one file and one picture."""

import json
from pathlib import Path

import pytest
from bench.growth_guests import GuestsRow
from bench.growth_keys import KeysRow, StoreRow
from bench.growth_report import print_growth, write_growth

GUESTS = [
    GuestsRow(
        rounds=5,
        ops_per_s=1000,
        ratio_to_libcrypto=0.9,
        p50_us=300,
        p99_us=400,
        guests=count,
        idle_cpu_percent=0.0,
        idle_keystored_percent=0.0,
        worker_private_kib=300,
        worker_secret_kib=30,
        busy_private_kib=500,
        engine="libcrypto",
    )
    for count in (1, 10)
]
KEYS = [
    KeysRow(
        rounds=5,
        ops_per_s=1000,
        ratio_to_libcrypto=0.9,
        p50_us=300,
        p99_us=400,
        hot_alone_p99_us=100,
        hot_p50_us=110,
        hot_p99_us=200,
        random_per_s=1000,
        random_p50_us=500,
        random_p99_us=900,
        filled_per_s=700,
        refused=0,
        keys=count,
        ready_s=0.5,
        first_s=0.1,
        one_more_s=0.2,
        worker_private_kib=300,
        worker_secret_kib=30,
    )
    for count in (10, 100)
]
STORED = [
    StoreRow(
        rounds=5,
        ops_per_s=1000,
        ratio_to_libcrypto=0.9,
        p50_us=300,
        p99_us=400,
        stored=count,
        ready_s=0.5,
        one_more_s=0.2,
        keystored_private_kib=50_000,
    )
    for count in (1000, 1_000_000)
]


def test_rows_are_one_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """All curves are in one file, and each has a table."""
    write_growth(GUESTS, KEYS, STORED, tmp_path / "build/bench-growth.json")
    rows = json.loads((tmp_path / "build/bench-growth.json").read_text())
    assert [(row["curve"], row.get("guests", row.get("keys", row.get("stored")))) for row in rows] == [
        ("guests", 1),
        ("guests", 10),
        ("keys", 10),
        ("keys", 100),
        ("stored", 1000),
        ("stored", 1_000_000),
    ]
    for curve in (GUESTS, KEYS, STORED):
        print_growth(curve)
    assert "1000000" in capsys.readouterr().out


def test_a_picture_has_what_was_measured(tmp_path: Path) -> None:
    """A row of panels for each curve that there is."""
    write_growth(GUESTS, KEYS, STORED, tmp_path / "all.json")
    assert (tmp_path / "all.svg").read_text().count("<polyline") == 5 + 9 + 5
    write_growth(GUESTS, [], [], tmp_path / "guests.json")
    assert (tmp_path / "guests.svg").read_text().count("<polyline") == 5
