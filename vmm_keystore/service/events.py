# SPDX-License-Identifier: Apache-2.0
"""Events: put into the outbox once for each finding, and the verbs an administrator has for what is in there.

An event is stored in the transaction of the change that it comes of, or as soon as it is found out. The outbox is
bounded: where it is full, a finding waits outside, and is stored when there is room and it still holds.
"""

import logging
import secrets
import threading
import time
from collections.abc import Collection, Mapping, Sequence

import sqlalchemy as sa

from vmm_keystore.errors import NotFoundError, RequestError
from vmm_keystore.policy.event import Event, EventKind, Finding, handler_test
from vmm_keystore.service.changes import Actor, Changes
from vmm_keystore.service.clock import now_s
from vmm_keystore.service.delivery import Deliveries
from vmm_keystore.service.ports import EventHandler
from vmm_keystore.store.event_marks import drop_marks, has_mark, list_marks, set_mark
from vmm_keystore.store.events import (
    DeliveryState,
    EventFilter,
    EventRow,
    bury_orphans,
    count_deliveries,
    count_unfinished,
    delete_events,
    forget_oldest,
    get_event,
    insert_event,
    list_events,
    revive_deliveries,
)
from vmm_keystore.store.store import Store

UNFINISHED_MAX = 10000
"""Events that are not delivered everywhere; further findings wait."""
BATCH = 100
"""So many are stored in one transaction: others write as well."""
HISTORY_MAX = 1000
"""Of those that are, so many are kept to look at."""

_logger = logging.getLogger(__name__)


class Outbox:
    """Where findings become events."""

    def __init__(self, store: Store, handlers: Sequence[EventHandler]) -> None:
        self._store = store
        self._handlers = handlers
        self._lock = threading.Lock()
        self._waiting: set[tuple[EventKind, str]] = set()
        self.refused_count = 0
        """Findings that met a full outbox, since the daemon started; each counts once, however long it waits."""

    def add(self, connection: sa.Connection, finding: Finding) -> bool:
        """Store a finding that nobody was told of, as part of the caller's transaction; whether it is an event now."""
        if has_mark(connection, finding.kind, finding.edge):
            return False
        return bool(self._add(connection, [finding]))

    def observe(
        self, kind: EventKind, findings: Sequence[Finding], held: Collection[str] = (), *, quiet_s: int = 0
    ) -> frozenset[str]:
        """Store what is new of *findings*, and forget what is over.

        Args:
            kind: theirs.
            findings: all there are now.
            held: edges that are not over although they may be no finding any more.
            quiet_s: how long nothing more is told by an edge that was told of.

        Returns:
            The edges that became events.
        """
        now = now_s()

        def sort(connection: sa.Connection) -> tuple[list[Finding], set[str]]:
            """What is new, and which edges are over."""
            marks = list_marks(connection, kind)
            kept = {edge for edge, since_s in marks.items() if edge in held or 0 <= now - since_s < quiet_s}
            new = [finding for finding in findings if finding.edge not in kept]
            return new, marks.keys() - kept - {finding.edge for finding in new}

        with self._store.read() as connection:
            if not any(sort(connection)):
                return frozenset()
        told: set[str] = set()
        while True:
            with self._store.write() as connection:
                # Once more: a change may have told of one of them meanwhile.
                new, gone = sort(connection)
                drop_marks(connection, kind, gone)
                added = self._add(connection, new[:BATCH])
            told |= added
            if len(new) <= BATCH or not added:
                return frozenset(told)

    def _add(self, connection: sa.Connection, findings: Sequence[Finding]) -> frozenset[str]:
        """Store as many as there is room for; their edges."""
        room = max(0, UNFINISHED_MAX - count_unfinished(connection))
        now = now_s()
        for finding in findings[:room]:
            wanting = [handler.name for handler in self._handlers if finding.kind in handler.kinds]
            insert_event(connection, make_event(finding, now), wanting, time.time_ns() // 1_000_000)
            set_mark(connection, finding.kind, finding.edge, now)
        forget_oldest(connection, HISTORY_MAX)
        with self._lock:
            self._waiting -= {(finding.kind, finding.edge) for finding in findings[:room]}
            for finding in findings[room:]:
                if (finding.kind, finding.edge) not in self._waiting:
                    self._waiting.add((finding.kind, finding.edge))
                    self.refused_count += 1
                    _logger.error("the outbox for events is full, one waits: %s", finding.text)
        return frozenset(finding.edge for finding in findings[:room])


class Events:
    """Looking at events, having them tried anew, dropping them, and trying a handler."""

    def __init__(
        self,
        store: Store,
        changes: Changes,
        outbox: Outbox,
        deliveries: Deliveries,
        handlers: Sequence[EventHandler],
    ) -> None:
        self._store = store
        self._changes = changes
        self._outbox = outbox
        self._deliveries = deliveries
        self._handlers = {handler.name: handler for handler in handlers}

    def recover(self) -> None:
        """Give up what is to go to handlers that there are no more."""
        with self._store.read() as connection:
            waiting = {handler for (handler, state) in count_deliveries(connection) if state is DeliveryState.PENDING}
        if waiting - self._handlers.keys():
            with self._store.write() as connection:
                count = bury_orphans(connection, tuple(self._handlers), now_s())
            _logger.warning("%d events were for handlers that there are no more; see vmm-keystore events list", count)

    @property
    def handlers(self) -> tuple[EventHandler, ...]:
        """The handlers, by name."""
        return tuple(self._handlers[name] for name in sorted(self._handlers))

    def list(self, only: EventFilter) -> tuple[EventRow, ...]:
        """Those that the filter names, the newest last."""
        with self._store.read() as connection:
            return list_events(connection, only)

    def show(self, event_id: str) -> EventRow:
        """Return one event.

        Raises:
            NotFoundError: there is none.
        """
        with self._store.read() as connection:
            return get_event(connection, event_id)

    def retry(self, actor: Actor, event_id: str | None) -> int:
        """Have an event delivered anew where it is not yet, or every dead one; how many.

        Raises:
            NotFoundError: there is no such event.
            RequestError: it is delivered, or none of its handlers is there any more.
        """
        with self._changes.begin(actor, "event-retry", event=event_id) as change:
            rows = self._chosen(change.connection, event_id)
            if event_id is not None:
                self._check_retry(rows[0])
            waiting = [row.row_id for row in rows if self._has_handler(row)]
            revive_deliveries(change.connection, waiting, time.time_ns() // 1_000_000)
            bury_orphans(change.connection, tuple(self._handlers), now_s())
            change.note(events=len(waiting))
            change.afterwards(self._deliveries.wake)
        return len(waiting)

    def drop(self, actor: Actor, event_id: str | None) -> int:
        """Forget an event, delivered or not, or every dead one; how many.

        Raises:
            NotFoundError: there is no such event.
        """
        with self._changes.begin(actor, "event-drop", event=event_id) as change:
            rows = self._chosen(change.connection, event_id)
            delete_events(change.connection, [row.row_id for row in rows])
            change.note(events=len(rows))
        return len(rows)

    def test(self, actor: Actor, name: str) -> str:
        """Deliver an event that says it is a test, once; why that failed, empty if it did not.

        Raises:
            NotFoundError: there is no such handler.
            InvalidRequestError: another test is under way.
        """
        handler = self._handlers.get(name)
        if handler is None:
            raise NotFoundError(
                f"no event handler '{name}'", "the file that serve --event-handlers names says which there are"
            )
        with self._changes.begin(actor, "event-handler-test", handler=name):
            pass
        return self._deliveries.try_once(handler, make_event(handler_test(name), now_s()))

    def counts(self) -> Mapping[tuple[str, DeliveryState], int]:
        """Deliveries by handler and state; handlers that are no more only where something is left of them."""
        with self._store.read() as connection:
            return count_deliveries(connection)

    @property
    def refused_count(self) -> int:
        """Findings that met a full outbox."""
        return self._outbox.refused_count

    def attempts(self) -> Mapping[str, tuple[int, int]]:
        """Deliveries that succeeded and attempts that failed, by handler, since the daemon started."""
        return self._deliveries.attempts()

    def _chosen(self, connection: sa.Connection, event_id: str | None) -> tuple[EventRow, ...]:
        if event_id is None:
            return list_events(connection, EventFilter(DeliveryState.DEAD))
        return (get_event(connection, event_id),)

    def _has_handler(self, row: EventRow) -> bool:
        unfinished = {DeliveryState.PENDING, DeliveryState.DEAD}
        return any(d.state in unfinished and d.handler in self._handlers for d in row.deliveries)

    def _check_retry(self, row: EventRow) -> None:
        name = row.event.event_id
        if row.state is DeliveryState.DELIVERED:
            raise RequestError(f"event '{name}' is delivered", "vmm-keystore events show says to whom")
        if row.state is DeliveryState.UNHANDLED:
            raise RequestError(f"no handler was to have event '{name}'", "vmm-keystore events handler list")
        if not self._has_handler(row):
            raise RequestError(
                f"the handlers of event '{name}' are there no more",
                "name them in the file of serve --event-handlers again, or: vmm-keystore events drop",
            )


def make_event(finding: Finding, now: int) -> Event:
    """Give a finding its name and time."""
    return Event(secrets.token_hex(8), now, finding.kind, finding.text, finding.subject, finding.facts)
