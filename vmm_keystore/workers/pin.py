# SPDX-License-Identifier: Apache-2.0
"""The PIN of a token's user: a descriptor that no Python reads, and whether the token has refused what is in it.

Whoever logs in does it inside :meth:`Pin.login`, one at a time, since a token locks after a few wrong tries: what was
refused is tried again by nobody until the file says something else.
"""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmm_keystore.errors import PinRefusedError
from vmm_keystore.workers.secret_file import open_secret


class Pin:
    """A file with a PIN, open for as long as keystored runs."""

    def __init__(self, path: Path) -> None:
        """Open it.

        Raises:
            RootOfTrustError: it cannot be opened.
        """
        self.fd = open_secret(path, "token's pin")
        self._lock = threading.Lock()
        self._refused: tuple[tuple[int, int], PinRefusedError] | None = None

    @contextmanager
    def login(self) -> Iterator[None]:
        """Try it; a refusal that the block raises is remembered, and only another content of the file is tried again.

        Raises:
            PinRefusedError: it was refused before.
        """
        with self._lock:
            version = self._version()
            if self._refused is not None and self._refused[0] == version:
                refusal = self._refused[1]
                raise PinRefusedError(refusal.message, refusal.hint)
            try:
                yield
            except PinRefusedError as refusal:
                self._refused = (version, refusal)
                raise

    def _version(self) -> tuple[int, int]:
        status = os.fstat(self.fd)
        return status.st_mtime_ns, status.st_size
