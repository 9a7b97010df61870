# SPDX-License-Identifier: Apache-2.0
"""The KEK file of a state folder, and the one that is to take its place, by name and descriptor: no KEK is read.

A change is made in a file of its own, ``kek.`` and a name that the store keeps from the commit on: whoever finds that
name in the store and the file in the folder finishes what a killed keystored did not.
"""

import contextlib
import hashlib
import logging
import os
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from vmm_keystore.errors import RootOfTrustError

log = logging.getLogger(__name__)

RESTORE_HINT = "restore it from a backup, the keys in the store cannot be opened without it"
# The sealed form of root_file.h.
SEALED_LINE = b"vmm-keystore kek 2\n"
KIND_OFFSET, BLOB_OFFSET, SUM_BYTES, FILE_BYTES_MAX = 19, 112, 32, 4096
_OPEN = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW


class RootFile:
    """The file and its successors, in a folder that is ours alone."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def open(self, *, may_create: bool) -> tuple[int, bool]:
        """Open it for the custodian; the second value says that it is empty and a KEK must be made.

        Raises:
            RootOfTrustError: it is missing or empty although keys were sealed with it, or not private to this user.
        """
        try:
            try:
                fd = _create_durably(self.path) if may_create else os.open(self.path, _OPEN)
            except FileExistsError:
                fd = os.open(self.path, _OPEN)
        except OSError as error:
            reason = os.strerror(error.errno or 0).lower()
            raise RootOfTrustError(f"cannot open {self.path}: {reason}", RESTORE_HINT) from None
        status = os.fstat(fd)
        problem, hint = "", ""
        if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid() or status.st_mode & 0o077:
            problem = f"{self.path} is not private to this user"
            hint = f"chmod 600 {self.path}, owned by uid {os.geteuid()}"
        elif status.st_size == 0 and not may_create:
            problem, hint = f"{self.path} is empty, but the store has keys", "restore it from a backup"
        if problem:
            os.close(fd)
            raise RootOfTrustError(problem, hint)
        return fd, status.st_size == 0

    @contextmanager
    def successor(self) -> Iterator[tuple[str, int]]:
        """Make an empty file that may take this one's place: its name, for :meth:`finish`, and a descriptor."""
        name = secrets.token_hex(8)
        fd = _create_durably(self._named(name))
        try:
            yield name, fd
        finally:
            os.close(fd)

    def finish(self, name: str) -> None:
        """Put the successor of that name in place, durably; harmless when that was done.

        What was there before is overwritten: on a file system that writes in place its KEK is gone then.
        """
        try:
            before = os.open(self.path, os.O_WRONLY | os.O_CLOEXEC | os.O_NOFOLLOW)
        except FileNotFoundError:
            before = -1
        try:
            try:
                self._named(name).rename(self.path)
            except FileNotFoundError:
                return
            _sync_folder(self.path)
            if before >= 0:
                _overwrite(before)
        finally:
            if before >= 0:
                os.close(before)

    def remove_successors(self, but: str = "") -> None:
        """Remove what changes left that were not committed."""
        for path in self.path.parent.glob(f"{self.path.name}.*"):
            if not but or path != self._named(but):
                with contextlib.suppress(FileNotFoundError):
                    path.unlink()

    def _named(self, name: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{name}")


def _overwrite(fd: int) -> None:
    try:
        os.pwrite(fd, bytes(os.fstat(fd).st_size), 0)
        os.fsync(fd)
    except OSError as error:
        log.warning("the last kek was not overwritten: %s", error.strerror)


def sealed_for(fd: int) -> tuple[int, bytes]:
    """Kind of a sealed KEK file, and what stands in it for a TPM or a token. A KEK in the clear is not read.

    A file that is not sealed or not whole is of kind 0: the custodian says so, and nobody else is asked in vain.
    """
    if os.pread(fd, len(SEALED_LINE), 0) != SEALED_LINE:
        return 0, b""
    content = os.pread(fd, FILE_BYTES_MAX, 0)
    body, total = content[:-SUM_BYTES], content[-SUM_BYTES:]
    if len(body) < BLOB_OFFSET or hashlib.sha256(body).digest() != total:
        return 0, b""
    return body[KIND_OFFSET], body[BLOB_OFFSET:]


def _create_durably(path: Path) -> int:
    """Make an empty file whose name survives a crash of the host."""
    fd = os.open(path, _OPEN | os.O_CREAT | os.O_EXCL, 0o600)
    _sync_folder(path)
    return fd


def _sync_folder(path: Path) -> None:
    directory = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(directory)
    finally:
        os.close(directory)
