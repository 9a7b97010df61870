# SPDX-License-Identifier: Apache-2.0
"""Plain libcrypto in a loop on one core: this machine's, the 1.00 of every ratio, and on request a later one."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from framework.debian13 import debian13_programs
from framework.pinned import start_pinned
from framework.ring_load import PROGRAMS, Sample, read_sample
from qemu_images.apt import AptError

from bench.operation import Operation
from bench.take import CRYPTO_CPU, Subject, Take, left_out

LATER = "libcrypto-3.5"
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


def later_libcrypto() -> list[Subject]:
    """Give Debian 13's, built there once, which takes root and minutes; nothing, and why, where that cannot be."""
    if os.geteuid() != 0:
        left_out(LATER, "only root can make a Debian 13")
        return []
    try:
        return [RawSubject(LATER, debian13_programs())]
    except (AptError, RuntimeError, OSError) as error:
        left_out(LATER, str(error))
        return []
