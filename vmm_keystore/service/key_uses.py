# SPDX-License-Identifier: Apache-2.0
"""The thread that brings counted uses of keys into the store: a transaction each few seconds, whatever is used.

Nothing waits for it: an operation is counted in memory when its audit record is stored, and what a crash takes along
is counted anew from the audit log by the next daemon. So what the store says may be a few seconds old, and is never
later than the truth.
"""

import logging
import threading
from collections.abc import Callable

from vmm_keystore.audit.key_uses import KINDS_MAX, KeyUses, Taken, Tally, UseKind, Uses, add, logged_uses
from vmm_keystore.audit.log import AuditLog
from vmm_keystore.audit.reader import AuditReader
from vmm_keystore.errors import AuditError, StoreError
from vmm_keystore.service.clock import now_s
from vmm_keystore.store.key_uses import NewUse, Standing, add_uses, find_standing, set_standing
from vmm_keystore.store.keys import has_keys
from vmm_keystore.store.store import Store

PERIOD_S = 5.0
PAUSE_S = 1.0
"""Between two transactions, however much is used."""
RESCAN_LINES_MAX = 10_000
"""So many lines without a use are looked at once more after a crash rather than noted."""

_logger = logging.getLogger(__name__)


class KeyUseStore:
    """Stores from ``start`` to ``stop``; ``store_now`` does so at once."""

    def __init__(self, store: Store, log: AuditLog, on_stored: Callable[[tuple[int, ...]], None]) -> None:
        self._store = store
        self._on_stored = on_stored
        """Called with the rows of keys that were used."""
        self._reader = AuditReader(log.directory)
        self._uses = KeyUses()
        self._uses.begin(log.follow_records(self._uses.count))
        self._working = threading.Lock()
        self._standing: Standing | None = None
        """What is stored, once it is known."""
        self._problem = ""
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="key-uses", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Store what there is, and end; what comes later is counted from the log by the next daemon."""
        self._stopping.set()
        self._uses.on_full.set()
        if self._thread.ident is not None:
            self._thread.join()

    def store_now(self) -> None:
        """Store what was counted so far; what fails is counted anew from the log the next time.

        Raises:
            StoreError: it could not be stored.
        """
        with self._working:
            taken = self._uses.take()
            try:
                standing = self._standing or self._begin(taken.seq)
                if taken.is_whole:
                    self._add(taken, standing)
                else:
                    self._count_anew(taken.seq, standing)
            except BaseException:
                self._uses.lose()
                self._standing = None
                raise

    def _run(self) -> None:
        while True:
            # Once more after it was told to stop: what was counted until then.
            stopping = self._stopping.is_set()
            try:
                self.store_now()
                self._problem = ""
            except StoreError as error:
                if error.message != self._problem:
                    _logger.error("uses of keys are not stored yet: %s", error.message)
                self._problem = error.message
            if stopping:
                return
            # Not by one event: the last look takes back that it is full.
            if not self._stopping.wait(PAUSE_S):
                self._uses.on_full.wait(PERIOD_S - PAUSE_S)

    def _begin(self, seq: int) -> Standing:
        with self._store.read() as connection:
            found = find_standing(connection)
            if found is None and not has_keys(connection):
                return Standing(0, 0)
        # What was done before with keys that are there already is not known.
        return found or Standing(seq, now_s())

    def _count_anew(self, until: int, standing: Standing) -> None:
        if standing.seq > until:
            # It is another log than the one that was counted.
            standing = Standing(0, standing.since_s)
        uses: Uses = {}
        try:
            for page in logged_uses(self._reader, standing.seq, until):
                for kind, tally in page.uses.items():
                    add(uses, kind, tally)
                if len(uses) > KINDS_MAX:
                    standing = self._add(Taken(uses, page.seq, is_whole=True), standing)
                    uses = {}
        except AuditError as error:
            _logger.error("how keys were used before now is not known: %s", error.message)
            standing, uses = Standing(until, now_s()), {}
        self._add(Taken(uses, until, is_whole=True), standing)

    def _add(self, taken: Taken, before: Standing) -> Standing:
        after = Standing(taken.seq, before.since_s)
        known = self._standing
        if not taken.uses and known and known.since_s == after.since_s and after.seq - known.seq < RESCAN_LINES_MAX:
            return known
        with self._store.write() as connection:
            key_rows = add_uses(connection, [_new(kind, tally) for kind, tally in taken.uses.items()])
            set_standing(connection, after)
        self._standing = after
        if key_rows:
            self._on_stored(key_rows)
        return after


def _new(kind: UseKind, tally: Tally) -> NewUse:
    # A worker that has fallen may name any time; none is later than now.
    return NewUse(kind.guest, kind.key_id, kind.version, kind.op, min(tally.last_s, now_s()), tally.count)
