# SPDX-License-Identifier: Apache-2.0
"""A backup: one line of JSON, then the database as it was at one moment, as one file of SQLite's.

The line, at most 4096 bytes with its newline::

    {"format": "vmm-keystore backup 1", "schema": "r0007", "created_s": 1790000000, "size_bytes": 98304, "sha256": "…"}

*size_bytes* and *sha256* are of the database. Key material in it is sealed, as in the store; labels, guests and grants are
readable. The key encryption key is not in it.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO

from vmm_keystore.errors import BackupError
from vmm_keystore.store import sqlite

FORMAT = "vmm-keystore backup 1"
HEAD_BYTES_MAX = 4096
CHUNK_BYTES = 1 << 20
CREATED_MAX_S = 253402300799  # the end of the year 9999
HINT = "use another backup"
TEMPORARY = ".backup."


@dataclass(frozen=True, slots=True)
class BackupHead:
    """What the first line says."""

    schema: str
    created_s: int
    size_bytes: int
    sha256: str

    def encode(self) -> bytes:
        """The line."""
        return json.dumps({"format": FORMAT, **asdict(self)}).encode() + b"\n"


@contextmanager
def copied_database(
    database: Path, folder: Path, schema: str, created_s: int
) -> Iterator[tuple[BackupHead, IO[bytes]]]:
    """Copy the database as it is now, while it goes on being used; give head and content, which is gone afterwards.

    Raises:
        StoreError: it cannot be read, or there is no room for the copy.
    """
    path = folder / f"{TEMPORARY}{os.urandom(8).hex()}"
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
        try:
            with closing(sqlite3.connect(database)) as source, closing(sqlite3.connect(path)) as copy:
                source.backup(copy)
                # As one file, which nobody has to read a log for.
                copy.execute("PRAGMA journal_mode = DELETE")
            content = path.open("rb")
        finally:
            for name in (path, *(path.with_name(path.name + end) for end in ("-wal", "-shm", "-journal"))):
                name.unlink(missing_ok=True)
    except (sqlite3.Error, OSError) as error:
        raise translated(error, path) from error
    with content:
        size, digest = hash_of(content)
        content.seek(0)
        yield BackupHead(schema, created_s, size, digest), content


def remove_unfinished(folder: Path) -> None:
    """Remove copies that a daemon was killed over; before anybody makes one."""
    for path in folder.glob(f"{TEMPORARY}*"):
        path.unlink()


def translated(error: sqlite3.Error | OSError, path: Path) -> Exception:
    """The error of ours."""
    if isinstance(error, sqlite3.Error):
        return sqlite.translate(error, path)
    return BackupError(
        f"cannot write {path}: {(error.strerror or str(error)).lower()}", "free space on its file system"
    )


def hash_of(content: IO[bytes]) -> tuple[int, str]:
    """Size and SHA-256 of what follows."""
    digest, size = hashlib.sha256(), 0
    while chunk := content.read(CHUNK_BYTES):
        digest.update(chunk)
        size += len(chunk)
    return size, digest.hexdigest()


def read_head(file: IO[bytes]) -> BackupHead:
    """Read the first line.

    Raises:
        BackupError: it is no backup, or one of a newer format.
    """
    line = file.readline(HEAD_BYTES_MAX)
    try:
        fields = json.loads(line) if line.endswith(b"\n") else None
    except ValueError:
        fields = None
    if not isinstance(fields, dict) or not str(fields.get("format", "")).startswith("vmm-keystore backup "):
        raise BackupError("it is no backup of vmm-keystore", "vmm-keystore backup makes them")
    if fields["format"] != FORMAT:
        raise BackupError(f"it is a {fields['format']}, which this version does not know", "install a newer version")
    kinds = {"schema": str, "created_s": int, "size_bytes": int, "sha256": str}
    if fields.keys() != {"format", *kinds} or any(type(fields[name]) is not kind for name, kind in kinds.items()):
        raise BackupError("its first line is damaged", HINT)
    if fields["size_bytes"] < 0 or not 0 <= fields["created_s"] <= CREATED_MAX_S:
        raise BackupError("its first line is damaged", HINT)
    return BackupHead(fields["schema"], fields["created_s"], fields["size_bytes"], fields["sha256"])


def copy_content(file: IO[bytes], head: BackupHead, target: IO[bytes], progress: Callable[[int, int], None]) -> None:
    """Copy the database out of a backup and check it against its head; no byte beyond what that announces is read.

    Raises:
        BackupError: it is cut off, longer, or damaged.
    """
    digest, left = hashlib.sha256(), head.size_bytes
    while left > 0 and (chunk := file.read(min(CHUNK_BYTES, left))):
        digest.update(chunk)
        target.write(chunk)
        left -= len(chunk)
        progress(head.size_bytes - left, head.size_bytes)
    if left:
        raise BackupError(f"it is cut off: {left} of {head.size_bytes} bytes are missing", HINT)
    if file.read(1):
        raise BackupError("more follows than its first line says", HINT)
    if digest.hexdigest() != head.sha256:
        raise BackupError("it is damaged: its bytes have another SHA-256 than its first line says", HINT)
