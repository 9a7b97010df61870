# SPDX-License-Identifier: Apache-2.0
"""Everything that is SQLite's own: opening, durability, locking, what its error codes mean.

Another database gets a file like this one; nothing else in the store knows which it is.
"""

import os
import sqlite3
import stat
from contextlib import closing
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.pool import ConnectionPoolEntry, QueuePool

from vmm_keystore.errors import (
    StoreAccessError,
    StoreBusyError,
    StoreDamagedError,
    StoreError,
    StoreFullError,
    StoreReadOnlyError,
)

APPLICATION_ID = 0x766B7331  # "vks1", in the file's header
BUSY_TIMEOUT_S = 5.0
WRITE_OPTION = "keystore_write"
_FREE_BYTES_MIN = 64 * 1024  # what SQLite asks for at once for the index of its write-ahead log

# secure_delete: the sealed blob of a destroyed key is overwritten, not only unlinked from its page.
_PRAGMAS = (
    "PRAGMA journal_mode = WAL",
    "PRAGMA synchronous = FULL",
    "PRAGMA foreign_keys = ON",
    "PRAGMA secure_delete = ON",
    "PRAGMA trusted_schema = OFF",
    "PRAGMA cell_size_check = ON",
)


def open_engine(path: Path) -> sa.Engine:
    """Open or create the database file, readable by us alone, and check that it is ours and whole.

    Raises:
        StoreError: one of its kinds, with a hint.
    """
    _prepare_file(path)
    _check_owner(path)
    engine = sa.create_engine(
        sa.URL.create("sqlite", database=str(path)),
        poolclass=QueuePool,
        max_overflow=-1,
        connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
    )
    sa.event.listen(engine, "connect", _on_connect)
    sa.event.listen(engine, "begin", _on_begin)
    try:
        with engine.connect() as connection:
            _check(connection, path)
    except (sa.exc.DBAPIError, sqlite3.Error) as error:
        engine.dispose()
        raise translate(error, path) from error
    except StoreError:
        engine.dispose()
        raise
    return engine


def translate(error: sa.exc.DBAPIError | sqlite3.Error, path: Path) -> StoreError:
    """Turn an error of SQLite into the one of ours that names the cause."""
    cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
    primary = getattr(cause, "sqlite_errorcode", 0) & 0xFF
    # The write-ahead log's index cannot grow either when the disk is full; SQLite calls that an I/O error.
    if primary == sqlite3.SQLITE_FULL or (primary == sqlite3.SQLITE_IOERR and _is_full(path)):
        return StoreFullError(f"no space left for {path}", "free space on its file system; nothing was changed")
    if primary == sqlite3.SQLITE_READONLY:
        return StoreReadOnlyError(f"{path} is read-only", "make the file and its folder writable for the daemon's user")
    if primary in {sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_PERM, sqlite3.SQLITE_AUTH}:
        return StoreAccessError(f"cannot open {path}", "the daemon's user needs rw on it and rwx on its folder")
    if primary in {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}:
        return damaged(path, str(cause))
    if primary in {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}:
        return StoreBusyError(f"{path} is held by another process", "close it there and try again")
    return StoreError(f"the database failed: {cause}", "see the system's log for errors of the disk")


def damaged(path: Path, reason: str) -> StoreDamagedError:
    """Make the error for a file that cannot be trusted."""
    return StoreDamagedError(f"{path} is damaged: {reason}", "restore it from a backup together with its folder")


def scrub_log(engine: sa.Engine) -> None:
    """Move the write-ahead log into the database and cut it, so that overwritten blobs are gone from it too.

    With a reader in the way the log is overwritten later, by the next commits.
    """
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")


def mark(connection: sa.Connection) -> None:
    """Write our mark into a fresh database."""
    connection.exec_driver_sql(f"PRAGMA application_id = {APPLICATION_ID}")


def _is_full(path: Path) -> bool:
    try:
        status = os.statvfs(path.parent)
    except OSError:
        return False
    return status.f_bavail * status.f_frsize < _FREE_BYTES_MIN


def _prepare_file(path: Path) -> None:
    try:
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600))
        mode = path.stat().st_mode
    except PermissionError as error:
        if path.exists() and not os.access(path, os.W_OK) and os.access(path, os.R_OK):
            raise StoreReadOnlyError(f"{path} is read-only", f"chmod 600 {path}") from error
        raise StoreAccessError(
            f"cannot open {path}: permission denied", "the daemon's user needs rw on it and rwx on its folder"
        ) from error
    except OSError as error:
        if error.errno == 28:  # ENOSPC
            raise StoreFullError(f"no space left for {path}", "free space on its file system") from error
        if error.errno == 30:  # EROFS
            raise StoreReadOnlyError(f"{path} is read-only", "its file system is mounted read-only") from error
        raise StoreAccessError(f"cannot open {path}: {(error.strerror or str(error)).lower()}") from error
    if stat.S_IMODE(mode) & 0o077:
        raise StoreAccessError(f"others may read {path}", f"chmod 600 {path}")


def _check_owner(path: Path) -> None:
    """Refuse the database of another program before anything is written to it, a journal mode among that."""
    if path.stat().st_size == 0:
        return
    try:
        with closing(sqlite3.connect(path, timeout=BUSY_TIMEOUT_S)) as connection:
            (application_id,) = connection.execute("PRAGMA application_id").fetchone()
            (tables,) = connection.execute("SELECT count(*) FROM sqlite_master").fetchone()
    except sqlite3.Error as error:
        raise translate(error, path) from error
    if application_id != APPLICATION_ID and (application_id or tables):
        raise damaged(path, "it is the database of another program")


def _check(connection: sa.Connection, path: Path) -> None:
    mode = connection.exec_driver_sql("PRAGMA journal_mode").scalar_one()
    if mode != "wal":
        raise StoreError(f"{path} cannot use a write-ahead log (it uses '{mode}')", "put it on a local file system")
    verdict = connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one()
    if verdict != "ok":
        raise damaged(path, str(verdict).splitlines()[-1])
    broken = connection.exec_driver_sql("PRAGMA foreign_key_check").first()
    if broken is not None:
        raise damaged(path, f"a row of {broken[0]} points nowhere")


def _on_connect(dbapi_connection: DBAPIConnection, record: ConnectionPoolEntry) -> None:  # noqa: ARG001
    # Transactions are begun by _on_begin; the module's own habit of beginning them late would not lock in time.
    dbapi_connection.isolation_level = None
    for pragma in _PRAGMAS:
        dbapi_connection.execute(pragma).close()


def _on_begin(connection: sa.Connection) -> None:
    # A writer takes its lock first: what it reads cannot change before it writes.
    writing = connection.get_execution_options().get(WRITE_OPTION, False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writing else "BEGIN")
