# SPDX-License-Identifier: Apache-2.0
"""What the curves of growth share: a busy guest with one hot key, and what is asked about it.

Workers sleep between requests here, as they do by default. The vault's own files are where tests have them.
"""

import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from framework.keystored import Keystored
from framework.pinned import pin

from bench.libcryptos import RawSubject
from bench.operation import OPERATIONS
from bench.take import CRYPTO_CPU, LOAD_CPU
from bench.vault_subject import Load

DEPTH = 8
PATIENCE_S = 60.0
[P256_SIGN] = [operation for operation in OPERATIONS if operation.name == "p256-sign"]
SIZE_BYTES = 32
HOT, BUSY = "hot", "busy"


@dataclass(frozen=True, slots=True)
class Busy:
    """The busy guest's figures, at depth 8 with one P-256 key; medians of *rounds*, ratios as in the table."""

    rounds: int
    ops_per_s: float
    ratio_to_libcrypto: float
    p50_us: float
    p99_us: float


def measure_busy(daemon: Keystored, load: Load, rounds: int, milliseconds: int) -> Busy:
    """Measure the busy guest, in turn with plain libcrypto."""
    pin(worker_of(daemon, BUSY)["pid"], [CRYPTO_CPU])
    pin(daemon.pid, [LOAD_CPU])
    samples, ratios = [], []
    with RawSubject().takes(P256_SIGN, SIZE_BYTES) as [baseline]:
        for _ in range(rounds):
            base = baseline.run(milliseconds)
            samples.append(load.run(DEPTH, milliseconds, 0, LOAD_CPU))
            ratios.append(samples[-1].ops_per_s / base.ops_per_s)
    return Busy(
        rounds=rounds,
        ops_per_s=round(median(sample.ops_per_s for sample in samples), 1),
        ratio_to_libcrypto=round(median(ratios), 4),
        p50_us=median(sample.p50_us for sample in samples),
        p99_us=median(sample.p99_us for sample in samples),
    )


def one_more(daemon: Keystored, load: Load, label: str) -> float:
    """Make one more key, and measure from its grant to a signature with it; it is taken back."""
    wanted = bytes.fromhex(daemon.api.generate(label, P256_SIGN.key_type)["id"])
    start_s = time.monotonic()
    daemon.api.grant(BUSY, label, ["sign"])
    end_s = time.monotonic() + PATIENCE_S
    while not load.can_sign(wanted):
        if time.monotonic() > end_s:
            raise AssertionError("a key that was granted does not sign")
    seconds = round(time.monotonic() - start_s, 4)
    daemon.api.revoke(BUSY, label)
    return seconds


def declare_guests(daemon: Keystored, names: Sequence[str]) -> None:
    """Add guests that may use the hot key."""
    grants = [{"key": HOT, "ops": ["sign"]}]
    guests = {name: {"socket": str(socket_of(daemon, name)), "grants": grants} for name in names}
    daemon.api.post("/apply", {"declaration": {"guests": guests}})


def socket_of(daemon: Keystored, name: str) -> Path:
    """Where a guest connects."""
    return daemon.folder / f"{name}.sock"


def worker_of(daemon: Keystored, name: str) -> Any:
    """Facts about a guest's worker."""
    return daemon.api.get(f"/guests/{name}")["worker"]


def say(what: str) -> None:
    """Show where it is."""
    print(f"bench: growth: {what}", file=sys.stderr, flush=True)
