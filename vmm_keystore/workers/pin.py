# SPDX-License-Identifier: Apache-2.0
"""The PIN of a token's user: a descriptor that no Python reads, and whether the token has refused what is in it.

Whoever logs in asks here first, since a token locks after a few wrong tries: what was refused is tried again by nobody
until the file says something else.
"""

import os
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
        self._refused: tuple[tuple[int, int], PinRefusedError] | None = None

    def check_not_refused(self) -> None:
        """One try for each PIN: only another content of the file, or another keystored, is a reason to ask again.

        Raises:
            PinRefusedError: it was refused.
        """
        if self._refused is not None and self._refused[0] == self._version():
            refusal = self._refused[1]
            raise PinRefusedError(refusal.message, refusal.hint)

    def refuse(self, refusal: PinRefusedError) -> PinRefusedError:
        """Remember that the token refused it."""
        self._refused = (self._version(), refusal)
        return refusal

    def _version(self) -> tuple[int, int]:
        status = os.fstat(self.fd)
        return status.st_mtime_ns, status.st_size
