# SPDX-License-Identifier: Apache-2.0
"""Growth's rows say which curve they are of; what did not happen is null, and no point in a picture."""

import json
from pathlib import Path

import pytest
from bench.growth import GuestsRow, KeysRow
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
        keys=count,
        to_answer_s=0.1,
        to_usable_s=usable_s,
        hot_p99_us=500,
        one_more_s=None,
        worker_private_kib=300,
        worker_secret_kib=30,
        used_private_kib=310,
        keys_usable=10,
        problem="",
    )
    for count, usable_s in ((10, 0.1), (100, None))
]


def test_rows_are_one_list(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Both curves are in one file; a key that never got usable is null there and said in the table."""
    write_growth(GUESTS, KEYS, tmp_path / "build/bench-growth.json")
    rows = json.loads((tmp_path / "build/bench-growth.json").read_text())
    assert [(row["curve"], row.get("guests", row.get("keys"))) for row in rows] == [
        ("guests", 1),
        ("guests", 10),
        ("keys", 10),
        ("keys", 100),
    ]
    assert rows[-1]["to_usable_s"] is None
    print_growth(KEYS)
    assert "never" in capsys.readouterr().out


def test_a_picture_leaves_out_what_did_not_happen(tmp_path: Path) -> None:
    """Of the seconds two lines are left, one of them a point; without keys there is a picture of guests alone."""
    write_growth(GUESTS, KEYS, tmp_path / "both.json")
    assert (tmp_path / "both.svg").read_text().count("<polyline") == 5 + 8
    write_growth(GUESTS, [], tmp_path / "guests.json")
    assert (tmp_path / "guests.svg").read_text().count("<polyline") == 5
