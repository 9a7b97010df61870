# SPDX-License-Identifier: Apache-2.0
"""The state directory: ours alone, held by one daemon at a time."""

import fcntl
import os
import stat
from pathlib import Path
from types import TracebackType
from typing import Self

from vmm_keystore.errors import DaemonError, StoreAccessError, StoreError, StoreReadOnlyError


class StateDir:
    """Holds DIR from construction to ``close``; what lies in it by name.

    Raises:
        StoreAccessError: it cannot be made or entered, is not ours, or others may enter it.
        StoreReadOnlyError: its file system is read-only.
        DaemonError: another daemon holds it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path.absolute()
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._check()
            self._lock_fd = os.open(self.path / "lock", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise _refusal(self.path, error) from error
        try:
            fcntl.flock(self._lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(self._lock_fd)
            raise DaemonError(
                f"another daemon is using {self.path}", "stop it, or choose another --state-dir"
            ) from error

    @property
    def database(self) -> Path:
        """The store."""
        return self.path / "keystore.db"

    @property
    def audit(self) -> Path:
        """The folder of audit segments."""
        return self.path / "audit"

    @property
    def root_key(self) -> Path:
        """The KEK file; only its descriptor is handled, by the custodian only its bytes are read."""
        return self.path / "kek"

    @property
    def control_socket(self) -> Path:
        """Where the control API listens unless told otherwise."""
        return self.path / "control.sock"

    def close(self) -> None:
        """Let another daemon have it."""
        os.close(self._lock_fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _check(self) -> None:
        status = self.path.stat()
        if not stat.S_ISDIR(status.st_mode):
            raise StoreAccessError(f"{self.path} is not a directory", "choose another --state-dir")
        if status.st_uid != os.geteuid():
            raise StoreAccessError(
                f"{self.path} belongs to uid {status.st_uid}, not to uid {os.geteuid()}",
                "run the daemon as its owner, or choose another --state-dir",
            )
        if stat.S_IMODE(status.st_mode) & 0o077:
            raise StoreAccessError(f"others may enter {self.path}", f"chmod 700 {self.path}")


def _refusal(path: Path, error: OSError) -> StoreError:
    reason = (error.strerror or str(error)).lower()
    if isinstance(error, PermissionError):
        return StoreAccessError(f"cannot use {path}: {reason}", "the daemon's user needs rwx on it")
    if error.errno == 30:  # EROFS
        return StoreReadOnlyError(f"cannot use {path}: {reason}", "put the state directory on a writable file system")
    return StoreAccessError(f"cannot use {path}: {reason}", "choose another --state-dir")
