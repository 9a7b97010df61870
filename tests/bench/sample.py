# SPDX-License-Identifier: Apache-2.0
"""One figure of one round, as the C programs print it."""

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

PROGRAMS = Path(__file__).resolve().parents[2] / "build/meson/tests/bench"
CRYPTO_CPU = 0
"""Where whatever does the cryptography runs: the worker, or plain libcrypto."""
LOAD_CPU = 1
"""Where everybody else runs: who asks, and keystored."""


@dataclass(frozen=True, slots=True)
class Sample:
    """Throughput and latency of one run."""

    ops_per_s: float
    p50_us: float
    p99_us: float


def run_program(
    name: str, arguments: Sequence[object], *, cpu: int, stdin: str = "", fds: Sequence[int] = ()
) -> Sample:
    """Run one of the benchmark's programs on one processor and read its figures.

    Args:
        name: of the program.
        arguments: its arguments.
        cpu: where it runs.
        stdin: what it reads.
        fds: descriptors it inherits.
    """
    command = ["taskset", "-c", str(cpu), str(PROGRAMS / name), *map(str, arguments)]
    done = subprocess.run(command, input=stdin, capture_output=True, text=True, pass_fds=fds, check=False)
    if done.returncode != 0:
        raise RuntimeError(f"{name} failed: {done.stderr.strip()}")
    facts = json.loads(done.stdout)
    return Sample(facts["operations"] / facts["seconds"], facts["p50_us"], facts["p99_us"])
