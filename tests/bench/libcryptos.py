# SPDX-License-Identifier: Apache-2.0
"""Plain libcrypto in a loop on one core: this machine's, the 1.00 of every ratio, and on request a later one."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from framework.pinned import start_pinned
from framework.ring_load import PROGRAMS, Sample, read_sample

from bench.operation import Operation
from bench.take import CRYPTO_CPU, Take

RAW = "vks-bench-raw"
CPU = str(CRYPTO_CPU)


class RawSubject:
    """One build of the loop; nobody asks it, it asks itself."""

    def __init__(self, name: str = "libcrypto", folder: Path = PROGRAMS) -> None:
        self._name = name
        self._program = folder / RAW

    @contextmanager
    def takes(self, operation: Operation, size_bytes: int) -> Iterator[Sequence[Take]]:
        """One depth."""
        yield [Take(self._name, 1, partial(self._run, operation, size_bytes), self._name, cpus=CPU)]

    def _run(self, operation: Operation, size_bytes: int, milliseconds: int) -> Sample:
        return read_sample(start_pinned([self._program, operation.name, size_bytes, milliseconds], [CRYPTO_CPU]))
