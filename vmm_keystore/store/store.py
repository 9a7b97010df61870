# SPDX-License-Identifier: Apache-2.0
"""The store: transactions over one database, one writer at a time.

What the rows mean is in ``guests.py``, ``keys.py``, ``grants.py`` and ``pending.py``: functions over a connection that
``Store.read`` or ``Store.write`` gave.
"""

import sqlite3
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Self

import sqlalchemy as sa

from vmm_keystore.store import sqlite
from vmm_keystore.store.schema import migrate


class Store:
    """An open store; every method may be called from any thread.

    Raises:
        StoreError: one of its kinds; after it nothing of the transaction remains.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._engine = sqlite.open_engine(path)
        self._writer = threading.Lock()
        try:
            with self.write() as connection:
                sqlite.mark(connection)
                self.schema = migrate(connection, path)
        except BaseException:
            self._engine.dispose()
            raise

    @property
    def path(self) -> Path:
        """Its file."""
        return self._path

    @contextmanager
    def read(self) -> Iterator[sa.Connection]:
        """Give a connection that sees one committed state; waits for no writer."""
        with self._translated(), self._engine.begin() as connection:
            yield connection

    @contextmanager
    def write(self) -> Iterator[sa.Connection]:
        """Give the writer's connection; durable when the block is left, undone when it raises."""
        with self._translated(), self._writer:
            connection = self._engine.connect().execution_options(**{sqlite.WRITE_OPTION: True})
            with connection, connection.begin():
                yield connection

    def scrub(self) -> None:
        """Remove overwritten content from the write-ahead log, after a key was destroyed."""
        with self._translated(), self._writer:
            sqlite.scrub_log(self._engine)

    def close(self) -> None:
        """Close every connection."""
        self._engine.dispose()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise sqlite.translate(error, self._path) from error
