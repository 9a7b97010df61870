# SPDX-License-Identifier: Apache-2.0
"""Rounds become rows: medians, and ratios of what was measured side by side."""

import json
from pathlib import Path

import pytest
from bench.operation import OPERATIONS, depths
from bench.result import make_row, write_json
from bench.take import SHARED, Take, added_up
from bench.vault_subject import engine_of
from framework.ring_load import Sample


def sample(ops_per_s: float, p50_us: float = 1, p99_us: float = 2) -> Sample:
    return Sample(ops_per_s, p50_us, p99_us)


def take(subject: str = "vault") -> Take:
    return Take(subject, 8, lambda _milliseconds: sample(1), "libcrypto", polling=True, clients=2, cpus=SHARED)


def test_a_row_has_the_median_of_the_rounds_own_ratios() -> None:
    """A round in which the machine was slow for both sides does not count as a slow subject."""
    pairs = [(sample(50), sample(100)), (sample(5), sample(10)), (sample(80), sample(100))]
    row = make_row(take(), "p256-sign", 32, 3, pairs)
    assert (row.ops_per_s, row.ratio_to_libcrypto, row.rounds) == (50, 0.5, 3)


def test_a_row_says_how_it_was_measured(tmp_path: Path) -> None:
    """Everything that tells two rows apart is in the file."""
    row = make_row(take(), "p256-sign", 32, 1, [(sample(50, 7, 9), sample(100))])
    write_json([row], tmp_path / "build/bench.json")
    assert json.loads((tmp_path / "build/bench.json").read_text()) == [
        {
            "subject": "vault",
            "op": "p256-sign",
            "size_bytes": 32,
            "queue_depth": 8,
            "rings": 1,
            "clients": 2,
            "cpus": "0, 1",
            "engine": "libcrypto",
            "polling": True,
            "ops_per_s": 50,
            "ratio_to_libcrypto": 0.5,
            "p50_us": 7,
            "p99_us": 9,
            "rounds": 1,
        }
    ]


def test_clients_side_by_side_are_added_up() -> None:
    """Throughput is the sum, and nobody's worst answer is hidden."""
    assert added_up([sample(10, 4, 9), sample(20, 2, 5)]) == sample(30, 3, 9)


def test_deep_queues_of_large_requests_are_left_out() -> None:
    """A megabyte at depth 128 would measure the memory; depth 1 is always measured."""
    assert depths(32) == [1, 8, 32, 128]
    assert depths(1 << 20) == [1, 8, 32]
    assert depths(1 << 30) == [1]


@pytest.mark.parametrize(
    ("name", "engine"), [("p256-sign", "crypto_mb"), ("aes256gcm-encrypt", "ipsec_mb"), ("p384-sign", "libcrypto")]
)
def test_the_engine_is_what_the_worker_says(name: str, engine: str) -> None:
    """By the function's name there; what it does not mention is libcrypto's."""
    [operation] = [operation for operation in OPERATIONS if operation.name == name]
    worker = {"engines": {"p256-sign": "crypto_mb", "aes-gcm": "ipsec_mb"}}
    assert engine_of(worker, operation) == engine
    assert engine_of({}, operation) == "libcrypto"
