# SPDX-License-Identifier: Apache-2.0
"""How long requests took, by guest, key and operation: for metrics, which prove nothing, and bounded for their sake.

Guests times keys times operations can be more than Prometheus should have. So many histograms are given at most, those that
were there first; all others are added up by operation. Whether one is given does not change while keystored runs,
or a histogram would go down.
"""

import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from vmm_keystore._vks import lib
from vmm_keystore.audit.record import OPS
from vmm_keystore.service.guest_values import Latency, LatencyKind
from vmm_keystore.service.ports import GuestWorkers

OTHER = "_other"
"""No name of a guest, no label: both begin with a letter or a digit."""
BOUNDS_S = tuple(lib.vks_latency_bound_ns(bucket) / 1e9 for bucket in range(lib.VKS_LATENCY_BUCKETS - 1))
"""The longest time of each bucket but the last, which has none."""


class Kind(NamedTuple):
    """What has a histogram of its own; *key* is empty where there was none, or none of the guest's."""

    guest: str
    key: str
    op: str


@dataclass(frozen=True, slots=True)
class Histogram:
    """Requests that took no longer than each of ``BOUNDS_S``, all of them at the end; and their time together."""

    counts: tuple[int, ...]
    sum_ns: int


class Latencies:
    """Reads when it is asked; from any thread."""

    def __init__(self, workers: GuestWorkers, label_of: Callable[[bytes], str | None], histograms_max: int) -> None:
        self._workers = workers
        self._label_of = label_of
        self._histograms_max = histograms_max
        self._lock = threading.Lock()
        self._is_given: dict[Kind, bool] = {}

    def histograms(self) -> dict[Kind, Histogram]:
        """Give each histogram that has counted anything; empty ones do not exist."""
        times: Counter[Kind] = Counter()
        counts: dict[Kind, Sequence[int]] = {}
        with self._lock:
            found = [(self._kind(guest, latency), latency) for guest, latency in self._workers.latencies()]
            self._choose([kind for kind, _ in found])
            for kind, latency in found:
                shown = kind if self._is_given[kind] else Kind(OTHER, OTHER, kind.op)
                # Two keys may have one label, if a worker says so: a series that is there twice is no figure at all.
                before = counts.get(shown)
                counts[shown] = (
                    [a + b for a, b in zip(before, latency.counts, strict=True)] if before else latency.counts
                )
                times[shown] += latency.sum_ns
        return {kind: Histogram(tuple(_cumulative(counts[kind])), times[kind]) for kind in sorted(counts)}

    def _kind(self, guest: str, latency: Latency) -> Kind:
        key = OTHER if latency.kind is LatencyKind.OTHER else self._label_of(latency.key_id) or ""
        return Kind(guest, key, OPS.get(latency.op, "other"))

    def _choose(self, kinds: Sequence[Kind]) -> None:
        """Keep what was chosen of those that are still there, give as many of the new ones as there is room for."""
        self._is_given = {kind: self._is_given[kind] for kind in kinds if kind in self._is_given}
        room = self._histograms_max - sum(self._is_given.values())
        for kind in kinds:
            if kind not in self._is_given:
                self._is_given[kind] = room > 0
                room -= 1


def _cumulative(counts: Sequence[int]) -> list[int]:
    total = 0
    return [total := total + count for count in counts]
