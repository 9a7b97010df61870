# SPDX-License-Identifier: Apache-2.0
"""Events in the store: the outbox that handlers are served from, and what was not to be delivered.

An event has a delivery for each handler that is to have it. One that is pending is made at *due_ms*; after the last
attempt it is dead, until somebody has it tried anew or drops it.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum

import sqlalchemy as sa

from vmm_keystore.errors import NotFoundError
from vmm_keystore.policy.event import Event, EventKind
from vmm_keystore.store.holdings import parts
from vmm_keystore.store.tables import event_deliveries, event_marks, events

_UNFINISHED = ("pending", "dead")


class DeliveryState(StrEnum):
    """What became of a delivery, or of an event with all its deliveries."""

    PENDING = "pending"
    DELIVERED = "delivered"
    DEAD = "dead"
    UNHANDLED = "unhandled"
    """Of an event only: no handler was to have it."""


@dataclass(frozen=True, slots=True)
class DeliveryRow:
    """A delivery as stored; *reason* says why the last attempt failed."""

    handler: str
    state: DeliveryState
    attempts: int
    due_ms: int
    changed_s: int
    reason: str


@dataclass(frozen=True, slots=True)
class EventRow:
    """An event as stored."""

    row_id: int
    event: Event
    deliveries: tuple[DeliveryRow, ...]

    @property
    def state(self) -> DeliveryState:
        """What somebody has to look at first."""
        found = {delivery.state for delivery in self.deliveries}
        order = (DeliveryState.DEAD, DeliveryState.PENDING, DeliveryState.DELIVERED)
        return next((state for state in order if state in found), DeliveryState.UNHANDLED)


@dataclass(frozen=True, slots=True)
class EventFilter:
    """Which events to list; None and 0 mean no bound."""

    state: DeliveryState | None = None
    kind: EventKind | None = None
    limit: int = 0


@dataclass(frozen=True, slots=True)
class Due:
    """A delivery that is to be made now."""

    row_id: int
    event: Event
    attempts: int


def insert_event(connection: sa.Connection, event: Event, handlers: Sequence[str], now_ms: int) -> None:
    """Add an event with a delivery for each of *handlers*, due at once."""
    values = {
        "event_id": event.event_id,
        "at_s": event.at_s,
        "kind": event.kind.value,
        "text": event.text,
        "subject": json.dumps(dict(event.subject)),
        "facts": json.dumps(dict(event.facts)),
    }
    row = connection.execute(events.insert().values(**values).returning(events.c.id)).scalar_one()
    pending = {"state": DeliveryState.PENDING.value, "attempts": 0, "due_ms": now_ms, "changed_s": event.at_s}
    if handlers:
        rows = [{"event": row, "handler": name, "reason": "", **pending} for name in handlers]
        connection.execute(event_deliveries.insert(), rows)


def count_unfinished(connection: sa.Connection) -> int:
    """How many events are not delivered to all that are to have them."""
    waiting = sa.select(event_deliveries.c.event).where(event_deliveries.c.state.in_(_UNFINISHED)).distinct()
    return int(connection.execute(sa.select(sa.func.count()).select_from(waiting.subquery())).scalar_one())


def count_deliveries(connection: sa.Connection) -> dict[tuple[str, DeliveryState], int]:
    """How many deliveries there are, by handler and state."""
    columns = (event_deliveries.c.handler, event_deliveries.c.state)
    statement = sa.select(*columns, sa.func.count().label("deliveries")).group_by(*columns)
    return {(row.handler, DeliveryState(row.state)): row.deliveries for row in connection.execute(statement)}


def forget_oldest(connection: sa.Connection, kept_max: int) -> None:
    """Remove what is delivered, but for the newest *kept_max*."""
    waiting = sa.select(event_deliveries.c.event).where(event_deliveries.c.state.in_(_UNFINISHED))
    done = sa.select(events.c.id).where(events.c.id.not_in(waiting)).order_by(events.c.id.desc())
    limit = connection.execute(done.offset(kept_max).limit(1)).scalar()
    if limit is not None:
        connection.execute(events.delete().where(events.c.id <= limit, events.c.id.not_in(waiting)))


def list_events(connection: sa.Connection, only: EventFilter) -> tuple[EventRow, ...]:
    """Those that the filter names, the newest last; with a limit the newest of them."""
    statement = sa.select(events).order_by(events.c.id.desc())
    if only.kind is not None:
        statement = statement.where(events.c.kind == only.kind.value)
    if only.state is not None:
        statement = statement.where(_in_state(only.state))
    if only.limit:
        statement = statement.limit(only.limit)
    return _rows(connection, statement)[::-1]


def get_event(connection: sa.Connection, event_id: str) -> EventRow:
    """Return the event *event_id*.

    Raises:
        NotFoundError: there is none, or none any more.
    """
    found = _rows(connection, sa.select(events).where(events.c.event_id == event_id))
    if not found:
        raise NotFoundError(f"no event '{event_id}'", "vmm-keystore events list shows those there are")
    return found[0]


def find_due(connection: sa.Connection, handler: str, now_ms: int, wait_max_ms: int) -> Due | None:
    """The next delivery to a handler that is to be made now.

    One that would have to wait longer than *wait_max_ms* was put off by a clock that has been set back since.
    """
    due = event_deliveries.c.due_ms
    statement = (
        sa.select(events, event_deliveries.c.attempts)
        .join(event_deliveries, event_deliveries.c.event == events.c.id)
        .where(
            event_deliveries.c.state == DeliveryState.PENDING.value,
            event_deliveries.c.handler == handler,
            sa.or_(due <= now_ms, due > now_ms + wait_max_ms),
        )
        .order_by(due, events.c.id)
        .limit(1)
    )
    row = connection.execute(statement).first()
    return None if row is None else Due(row.id, _event(row), row.attempts)


def next_due_ms(connection: sa.Connection, handler: str) -> int | None:
    """When the next delivery to a handler is to be made, if any waits."""
    statement = sa.select(sa.func.min(event_deliveries.c.due_ms)).where(
        event_deliveries.c.state == DeliveryState.PENDING.value, event_deliveries.c.handler == handler
    )
    found = connection.execute(statement).scalar()
    return None if found is None else int(found)


def settle_delivery(connection: sa.Connection, row_id: int, delivery: DeliveryRow) -> None:
    """Write down what became of an attempt; an event that was dropped meanwhile stays dropped."""
    connection.execute(
        event_deliveries.update()
        .where(
            event_deliveries.c.event == row_id,
            event_deliveries.c.handler == delivery.handler,
            event_deliveries.c.state == DeliveryState.PENDING.value,
        )
        .values(
            state=delivery.state.value,
            attempts=delivery.attempts,
            due_ms=delivery.due_ms,
            changed_s=delivery.changed_s,
            reason=delivery.reason,
        )
    )


def revive_deliveries(connection: sa.Connection, row_ids: Sequence[int], now_ms: int) -> None:
    """Have what is not delivered of these events tried anew, at once and as often as if it had just come."""
    for part in parts(row_ids):
        connection.execute(
            event_deliveries.update()
            .where(event_deliveries.c.event.in_(part), event_deliveries.c.state.in_(_UNFINISHED))
            .values(state=DeliveryState.PENDING.value, attempts=0, due_ms=now_ms)
        )


def bury_orphans(connection: sa.Connection, handlers: Sequence[str], now_s: int) -> int:
    """Give up deliveries to handlers that there are no more; how many."""
    orphans = sa.and_(
        event_deliveries.c.state == DeliveryState.PENDING.value, event_deliveries.c.handler.not_in(handlers)
    )
    values = {"state": DeliveryState.DEAD.value, "changed_s": now_s, "reason": "there is no such handler any more"}
    return connection.execute(event_deliveries.update().where(orphans).values(**values)).rowcount


def delete_events(connection: sa.Connection, row_ids: Sequence[int]) -> None:
    """Forget events, delivered or not."""
    for part in parts(row_ids):
        connection.execute(events.delete().where(events.c.id.in_(part)))


def forget_events(connection: sa.Connection) -> None:
    """Forget all of it: they belong to the daemon of before."""
    connection.execute(events.delete())
    connection.execute(event_marks.delete())


def _in_state(state: DeliveryState) -> sa.ColumnElement[bool]:
    def has(wanted: DeliveryState) -> sa.ColumnElement[bool]:
        return (
            sa.select(event_deliveries.c.event)
            .where(event_deliveries.c.event == events.c.id, event_deliveries.c.state == wanted.value)
            .exists()
        )

    dead, pending = has(DeliveryState.DEAD), has(DeliveryState.PENDING)
    match state:
        case DeliveryState.DEAD:
            return dead
        case DeliveryState.PENDING:
            return sa.and_(pending, ~dead)
        case DeliveryState.DELIVERED:
            return sa.and_(has(DeliveryState.DELIVERED), ~pending, ~dead)
        case DeliveryState.UNHANDLED:
            return ~sa.select(event_deliveries.c.event).where(event_deliveries.c.event == events.c.id).exists()


def _rows(connection: sa.Connection, statement: sa.Select[int, str, int, str, str, str, str]) -> tuple[EventRow, ...]:
    found = connection.execute(statement).all()
    deliveries: dict[int, list[DeliveryRow]] = {}
    for part in parts([row.id for row in found]):
        by_event = sa.select(event_deliveries).where(event_deliveries.c.event.in_(part))
        for row in connection.execute(by_event.order_by(event_deliveries.c.handler)):
            delivery = DeliveryRow(
                row.handler, DeliveryState(row.state), row.attempts, row.due_ms, row.changed_s, row.reason
            )
            deliveries.setdefault(row.event, []).append(delivery)
    return tuple(EventRow(row.id, _event(row), tuple(deliveries.get(row.id, ()))) for row in found)


def _event(row: sa.Row[int, str, int, str, str, str, str]) -> Event:
    subject: Mapping[str, str] = json.loads(row.subject)
    facts: Mapping[str, int | str] = json.loads(row.facts)
    return Event(row.event_id, row.at_s, EventKind(row.kind), row.text, subject, facts)
