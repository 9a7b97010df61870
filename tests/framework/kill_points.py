# SPDX-License-Identifier: Apache-2.0
"""The worker of the test build that ends at named instants, and how a test arms it.

Points and the words in state memory are those of ``cext/worker/kill_point.[ch]``; the program is built beside the
shipped one from the same sources, and installed nowhere.
"""

import mmap
import os
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

import vmm_keystore
from framework.patience import wait_for
from vmm_keystore._vks import ffi, lib

ROOT = Path(__file__).resolve().parents[2]
PROGRAM = ROOT / "build/meson/cext/worker/vks-zygote-kill-points"
HEADER = ROOT / "cext/worker/kill_point.h"
INSTALLED = Path(vmm_keystore.__file__).parent / "libexec"
POINTS = {name: int(value) for name, value in re.findall(r"KILL_(\w+) = (\d+)", HEADER.read_text())}


@contextmanager
def kill_points_libexec() -> Iterator[Path]:
    """Give a folder like the installed one, but with the zygote of the test build."""
    with TemporaryDirectory(prefix="vks-kill-") as folder:
        for program in INSTALLED.iterdir():
            target = PROGRAM if program.name == "vks-zygote" else program
            (Path(folder) / program.name).symlink_to(target)
        yield Path(folder)


def keystored_with(libexec: Path, *, patches: str = "") -> tuple[str, ...]:
    """Give the command of a keystored that starts the programs of *libexec*; the installed one cannot be told to.

    Args:
        libexec: the folder.
        patches: Python statements to run first, for limits that a test must not wait for.
    """
    code = "from pathlib import Path; from vmm_keystore.workers import programs, succession; "
    code += f"programs.LIBEXEC = Path({str(libexec)!r}); {patches}; "
    return sys.executable, "-P", "-c", code + "from vmm_keystore.cli.main import main; main()"


class KillPoints:
    """Arms the points of one guest through its state memory; a context manager that owns its mapping."""

    def __init__(self, state_fd: int) -> None:
        self._map = mmap.mmap(state_fd, lib.vks_state_bytes())
        self._state: Any = ffi.from_buffer(self._map, require_writable=True)
        head: Any = ffi.cast("struct vks_state_head *", self._state)
        self._words = head.reserved

    @classmethod
    def of(cls, path: Path) -> Self:
        """Map the state memory at *path*, which is there once a front-end was."""
        wait_for(path.exists)
        fd = os.open(path, os.O_RDWR | os.O_CLOEXEC)
        try:
            return cls(fd)
        finally:
            os.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_exc: object) -> None:
        self.disarm()
        self._words = None
        ffi.release(self._state)
        self._map.close()

    def arm(self, point: str, passes: int = 0, then: str | None = None, then_passes: int = 0) -> None:
        """Kill at *point* after it was passed *passes* times, and the successor at *then*."""
        self._words[1] = word(then, then_passes) if then else 0
        self._words[0] = word(point, passes)

    def poison(self, op: int) -> None:
        """Kill whoever runs this operation, until disarmed."""
        self._words[2] = op + 1

    def disarm(self) -> None:
        """Kill no more."""
        self._words[0] = self._words[1] = self._words[2] = 0

    @property
    def is_armed(self) -> bool:
        """Whether a point waits to be reached."""
        return bool(self._words[0])

    @property
    def hits(self) -> int:
        """Workers killed so far."""
        return int(self._words[3])


def word(point: str, passes: int) -> int:
    """A point as it is armed."""
    return POINTS[point] | passes << 32
