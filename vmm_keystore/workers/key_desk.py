# SPDX-License-Identifier: Apache-2.0
"""Brings workers the keys that requests wait for, one list after the other, on a thread of its own.

A worker has one list here at a time and waits for it beside its ring, so guests take turns, and one that uses more keys
than it has room for costs the others a short turn each. Nothing here waits for a worker.
"""

import logging
import queue
import threading
from collections.abc import Sequence
from typing import Protocol

from vmm_keystore.errors import KeystoreError
from vmm_keystore.service.key_values import KeyLoad
from vmm_keystore.service.ports import GuestKeys
from vmm_keystore.workers.errors import ProgramError, ProgramLostError, VaultLockedError, WorkerGoneError
from vmm_keystore.workers.key_channel import KeyVersion

ROUNDS_MAX = 4
PROBLEMS_MAX = 1000
"""That are told once each: what a guest asks for again and again shall not fill the log."""

log = logging.getLogger(__name__)


class Asker(Protocol):
    """A worker."""

    guest: str

    def fill(self, loads: Sequence[KeyLoad]) -> list[str]:
        """As ``KeyChannel``."""

    def note_filled(self) -> None:
        """Hear that its list was looked after."""


class KeyDesk:
    """Takes lists at once; looks after them from ``start`` to ``stop``."""

    def __init__(self, keys: GuestKeys) -> None:
        self._keys = keys
        self._queue: queue.SimpleQueue[tuple[Asker, tuple[KeyVersion, ...]] | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._told: set[tuple[str, str]] = set()
        self._thread = threading.Thread(target=self._run, name="key-desk", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it with the list that is under way; the next worker asks for the others."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._queue.put(None)
            self._thread.join()

    def take(self, worker: Asker, wanted: tuple[KeyVersion, ...]) -> None:
        """Take a list, on the loop's thread; the worker hears when it was looked after."""
        self._queue.put((worker, wanted))

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None and not self._stopping.is_set():
            worker, wanted = taken
            try:
                problems = self._fill(worker, wanted)
            except WorkerGoneError:
                problems = []
            except (KeystoreError, ProgramError) as error:
                problems = [str(error)]
            except Exception:  # a mistake of ours must not take the other guests' keys with it
                log.exception("guest %s: keys that it waits for could not be brought", worker.guest)
                problems = []
            for problem in problems:
                self._tell(worker.guest, problem)
            worker.note_filled()

    def _fill(self, worker: Asker, wanted: tuple[KeyVersion, ...]) -> list[str]:
        for _ in range(ROUNDS_MAX - 1):
            try:
                return worker.fill(self._keys.lease_keys(worker.guest, wanted))
            except (VaultLockedError, WorkerGoneError):
                raise
            except ProgramLostError:
                log.debug("guest %s: the custodian died: its successor gets fresh leases", worker.guest)
        return worker.fill(self._keys.lease_keys(worker.guest, wanted))

    def _tell(self, guest: str, problem: str) -> None:
        if (guest, problem) not in self._told and len(self._told) < PROBLEMS_MAX:
            self._told.add((guest, problem))
            log.error("guest %s: a key that it asks for: %s", guest, problem)
