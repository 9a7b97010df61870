# SPDX-License-Identifier: Apache-2.0
"""A guest's state memory as its worker has it."""

import mmap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from vmm_keystore._vks import ffi
from vmm_keystore.workers.state_memory import STATE_BYTES


@contextmanager
def mapped(path: Path) -> Iterator[Any]:
    """Map the file as its worker does."""
    with path.open("r+b") as file, mmap.mmap(file.fileno(), STATE_BYTES) as mapping, ffi.from_buffer(mapping) as view:
        yield view
