# SPDX-License-Identifier: Apache-2.0
"""Histograms by guest, key and operation: added up where they are too many, and never going down for that."""

from itertools import pairwise

import pytest
from unit.fakes import FakeWorkers

from vmm_keystore._vks import lib
from vmm_keystore.policy.vocabulary import Op
from vmm_keystore.service.guest_values import Latency, LatencyKind
from vmm_keystore.service.latencies import BOUNDS_S, OTHER, Histogram, Kind, Latencies

BUCKETS = lib.VKS_LATENCY_BUCKETS
KEYS = {bytes([number]) * 16: f"key{number}" for number in range(200)}


def sign(key_number: int, *counts: int, sum_ns: int = 5) -> Latency:
    """Requests with a key, by their buckets."""
    return Latency(
        LatencyKind.KEY, bytes([key_number]) * 16, int(Op.SIGN), (*counts, *[0] * (BUCKETS - len(counts))), sum_ns
    )


def latencies(*found: tuple[str, Latency], most: int = 1000) -> tuple[Latencies, list[tuple[str, Latency]]]:
    """What is made of *found*, which may change."""
    workers = FakeWorkers.__new__(FakeWorkers)
    workers.times = list(found)
    return Latencies(workers, KEYS.get, most), workers.times


def total(histogram: Histogram) -> int:
    return histogram.counts[-1]


def test_bounds_grow_from_a_microsecond_to_a_second() -> None:
    assert (BOUNDS_S[0], BOUNDS_S[-1], len(BOUNDS_S)) == (1e-6, 1.0, BUCKETS - 1)
    assert all(2 <= after / before <= 2.5 + 1e-9 for before, after in pairwise(BOUNDS_S))


def test_each_bucket_holds_the_ones_below() -> None:
    made, _ = latencies(("web1", sign(1, 3, 0, 4)))
    histogram = made.histograms()[Kind("web1", "key1", "sign")]
    assert histogram == Histogram((3, 3, *[7] * (BUCKETS - 2)), 5)


def test_names_of_what_has_no_key() -> None:
    """None asked for, none found, no room in state memory, no such operation."""
    empty = (1, *[0] * (BUCKETS - 1))
    made, _ = latencies(
        ("web1", Latency(LatencyKind.NONE, b"", int(Op.RANDOM), empty, 1)),
        ("web1", Latency(LatencyKind.NONE, b"", 0, empty, 1)),
        ("web1", Latency(LatencyKind.OTHER, b"", int(Op.SIGN), empty, 1)),
    )
    assert set(made.histograms()) == {
        Kind("web1", "", "random"),
        Kind("web1", "", "other"),
        Kind("web1", OTHER, "sign"),
    }


def test_one_series_for_each_name() -> None:
    """A worker that gives a key twice is added up: a series that is there twice would cost every other one."""
    made, _ = latencies(("web1", sign(1, 3)), ("web1", sign(1, 4, 1)))
    assert made.histograms() == {Kind("web1", "key1", "sign"): Histogram((7, *[8] * (BUCKETS - 1)), 10)}


def test_not_more_than_so_many() -> None:
    """What is beyond is added up by operation, and no request is lost."""
    found = [(f"web{guest}", sign(key, 1, 2)) for guest in range(5) for key in range(100)]
    made, _ = latencies(*found, most=20)
    histograms = made.histograms()
    assert len(histograms) == 21
    assert histograms[Kind(OTHER, OTHER, "sign")].counts[0] == 480
    assert sum(map(total, histograms.values())) == 1500


@pytest.mark.parametrize("most", [0, 1, 3])
def test_what_is_given_stays_given(most: int) -> None:
    """Others that come before it by name, or that go away, make no figure go down."""
    made, found = latencies(*[("web5", sign(key, 2)) for key in range(1, 5)], most=most)
    before = made.histograms()
    found.extend(("web1", sign(key, 1)) for key in range(100))
    found.sort(key=lambda pair: pair[0])
    after = made.histograms()
    assert set(before) <= set(after)
    assert all(total(after[kind]) >= total(histogram) for kind, histogram in before.items())
    assert len(after) <= most + 1


def test_room_of_what_went_away() -> None:
    """It is given to the next one that is new, not to one that was added up so far."""
    made, found = latencies(("web1", sign(1, 1)), ("web1", sign(2, 1)), most=1)
    made.histograms()
    del found[0]
    assert set(made.histograms()) == {Kind(OTHER, OTHER, "sign")}
    found.append(("web1", sign(3, 1)))
    assert set(made.histograms()) == {Kind(OTHER, OTHER, "sign"), Kind("web1", "key3", "sign")}
