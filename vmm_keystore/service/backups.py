# SPDX-License-Identifier: Apache-2.0
"""Copies of the store for a bad day, each on record."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from vmm_keystore.service.changes import Actor, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.store.backup import BackupHead, copied_database
from vmm_keystore.store.store import Store


class Backups:
    """Makes them; changes go on meanwhile."""

    def __init__(self, store: Store, changes: Changes, folder: Path) -> None:
        self._store = store
        self._changes = changes
        self._folder = folder

    @contextmanager
    def make(self, actor: Actor) -> Iterator[tuple[BackupHead, IO[bytes]]]:
        """Copy the store as it is now: every change answered before is in it; give head and content.

        Raises:
            StoreError: it cannot be read, or there is no room for the copy.
            AuditError: it is not on record; nobody gets it then.
        """
        with self._changes.attempt(actor, "backup"):
            copied = copied_database(self._store.path, self._folder, self._store.schema, now_s())
            with copied as (head, content):
                with self._changes.begin(actor, "backup", sha256=head.sha256, size_bytes=head.size_bytes):
                    pass
                yield head, content
