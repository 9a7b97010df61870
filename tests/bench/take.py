# SPDX-License-Identifier: Apache-2.0
"""Who is measured: subjects, and of each what it does once a round."""

import sys
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

from framework.ring_load import Sample

from bench.operation import Operation

CRYPTO_CPU = 0
"""Where whatever does the cryptography runs: the worker, a peer, or plain libcrypto."""
LOAD_CPU = 1
"""Where everybody else runs: who asks, and keystored."""
CPUS = (CRYPTO_CPU, LOAD_CPU)
PINNED = f"{CRYPTO_CPU} | {LOAD_CPU}"
"""A row's ``cpus``: who does the cryptography on the one, who asks on the other."""
SHARED = f"{CRYPTO_CPU}, {LOAD_CPU}"
"""A row's ``cpus``: everybody on both."""


@dataclass(frozen=True, slots=True)
class Take:
    """One subject doing one thing at one depth; ``run`` does it for so many milliseconds."""

    subject: str
    queue_depth: int
    run: Callable[[int], Sample]
    engine: str = ""
    polling: bool = False
    clients: int = 1
    rings: int = 1
    cpus: str = PINNED


class Subject(Protocol):
    """Whoever can do an operation."""

    def takes(self, operation: Operation, size_bytes: int) -> AbstractContextManager[Sequence[Take]]:
        """Get ready for one operation; no takes where it cannot do it."""


def added_up(samples: Sequence[Sample]) -> Sample:
    """Who asked side by side: all that they did, the mean of their medians, the worst of the rest."""
    return Sample(
        ops_per_s=sum(sample.ops_per_s for sample in samples),
        p50_us=sum(sample.p50_us for sample in samples) / len(samples),
        p99_us=max(sample.p99_us for sample in samples),
    )


def left_out(what: str, why: str) -> None:
    """Say what has no rows; nothing stands in for it."""
    print(f"bench: left out: {what}: {why}", file=sys.stderr, flush=True)
