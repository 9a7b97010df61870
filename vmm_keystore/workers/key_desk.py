# SPDX-License-Identifier: Apache-2.0
"""Brings workers the keys that requests wait for, one list after the other, on a thread of its own.

A worker has one list here at a time and waits for it beside its ring, so guests take turns, and one that uses more keys
than it has room for costs the others a short turn each. Nothing here waits for a worker.
"""

import logging
import queue
import threading
from typing import TYPE_CHECKING

from vmm_keystore.errors import KeystoreError
from vmm_keystore.service.ports import GuestKeys
from vmm_keystore.workers.errors import ProgramError, ProgramLostError, VaultLockedError
from vmm_keystore.workers.key_channel import KeyVersion

if TYPE_CHECKING:
    from vmm_keystore.workers.worker import Worker

ROUNDS_MAX = 4
PROBLEMS_MAX = 1000
"""That are told once each: what a guest asks for again and again shall not fill the log."""

log = logging.getLogger(__name__)


class KeyDesk:
    """Takes lists at once; looks after them from ``start`` to ``stop``."""

    def __init__(self, keys: GuestKeys) -> None:
        self._keys = keys
        self._queue: queue.SimpleQueue[tuple[Worker, tuple[KeyVersion, ...]] | None] = queue.SimpleQueue()
        self._told: set[tuple[str, str]] = set()
        self._thread = threading.Thread(target=self._run, name="key-desk", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """End it with the list that is under way; the next worker asks for the others."""
        if self._thread.ident is not None:
            self._queue.put(None)
            self._thread.join()

    def take(self, worker: "Worker", wanted: tuple[KeyVersion, ...]) -> None:
        """Take a list, on the loop's thread; the worker hears when it was looked after."""
        self._queue.put((worker, wanted))

    def _run(self) -> None:
        while (taken := self._queue.get()) is not None:
            worker, wanted = taken
            try:
                problems = self._fill(worker, wanted)
            except (KeystoreError, ProgramError) as error:
                problems = [str(error)]
            except Exception:  # a mistake of ours must not take the other guests' keys with it
                log.exception("guest %s: keys that it waits for could not be brought", worker.guest)
                problems = []
            for problem in problems:
                self._tell(worker.guest, problem)
            worker.note_filled()

    def _fill(self, worker: "Worker", wanted: tuple[KeyVersion, ...]) -> list[str]:
        for _ in range(ROUNDS_MAX - 1):
            try:
                return worker.keys.fill(self._keys.lease_keys(worker.guest, wanted))
            except VaultLockedError:
                raise
            except ProgramLostError:
                # The custodian died: its successor gets fresh leases, and what came of the first try stays.
                if worker.ended.is_set():
                    return []
        return worker.keys.fill(self._keys.lease_keys(worker.guest, wanted))

    def _tell(self, guest: str, problem: str) -> None:
        if (guest, problem) not in self._told and len(self._told) < PROBLEMS_MAX:
            self._told.add((guest, problem))
            log.error("guest %s: a key that it asks for: %s", guest, problem)
