# SPDX-License-Identifier: Apache-2.0
"""Whether anything grows: what processes hold over the run, the least of the last third against the first.

Processes come and go, so a role is sampled, not a pid. The least of a period is compared and not the most: a peak under
load is no leak, but what leaks is in every later sample.
"""

from collections import defaultdict
from dataclasses import dataclass

from framework.holdings import Holding

FD_SLACK = 16
"""Database connections and standbys come and go; a leak would be one for each of what is repeated often."""
THREAD_SLACK = 8
PRIVATE_SLACK_KIB = 4096
PRIVATE_FACTOR = 1.25
SAMPLES_MIN = 6


@dataclass(frozen=True, slots=True)
class Trend:
    """The least that a role held in the first and the last third."""

    role: str
    first: Holding
    last: Holding

    @property
    def problem(self) -> str:
        """What grew, empty when nothing did."""
        if self.last.fd_count > self.first.fd_count + FD_SLACK:
            return f"{self.role} went from {self.first.fd_count} to {self.last.fd_count} descriptors"
        if self.last.thread_count > self.first.thread_count + THREAD_SLACK:
            return f"{self.role} went from {self.first.thread_count} to {self.last.thread_count} threads"
        if self.last.private_kib > self.first.private_kib * PRIVATE_FACTOR + PRIVATE_SLACK_KIB:
            return f"{self.role} went from {self.first.private_kib} to {self.last.private_kib} KiB"
        return ""


class Growth:
    """Samples by role."""

    def __init__(self) -> None:
        self._samples: dict[str, list[Holding]] = defaultdict(list)

    def add(self, role: str, found: Holding) -> None:
        """Add a sample."""
        self._samples[role].append(found)

    def trends(self) -> list[Trend]:
        """Give first and last third of every role that was seen often enough."""
        return [
            Trend(role, least(samples[: len(samples) // 3]), least(samples[-len(samples) // 3 :]))
            for role, samples in sorted(self._samples.items())
            if len(samples) >= SAMPLES_MIN
        ]


def least(samples: list[Holding]) -> Holding:
    """Give the least of each."""
    return Holding(
        fd_count=min(sample.fd_count for sample in samples),
        private_kib=min(sample.private_kib for sample in samples),
        thread_count=min(sample.thread_count for sample in samples),
    )
