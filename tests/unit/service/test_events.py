# SPDX-License-Identifier: Apache-2.0
"""The outbox over a real store: once for each finding, bounded, and what becomes of attempts."""

import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from framework.patience import wait_for

from vmm_keystore.policy.event import KINDS, Event, EventKind, Finding
from vmm_keystore.service import events
from vmm_keystore.service.death_tally import DeathTally
from vmm_keystore.service.delivery import WAIT_MAX_S, Deliveries, shorten, wait_before
from vmm_keystore.service.events import Outbox
from vmm_keystore.store.events import (
    DeliveryRow,
    DeliveryState,
    EventFilter,
    EventRow,
    delete_events,
    find_due,
    forget_events,
    list_events,
    settle_delivery,
)
from vmm_keystore.store.store import Store

KIND = EventKind.BUDGET_LOW


@dataclass
class SilentHandler:
    """Takes everything."""

    name: str = "pager"
    way: str = "exec"
    target: str = "/nowhere"
    kinds: frozenset[EventKind] = frozenset(KINDS)
    attempts_max: int = 3
    first_wait_s: float = 1
    taken: list[Event] = field(default_factory=list)

    def deliver(self, event: Event, stop_fd: int) -> None:  # noqa: ARG002
        """Take it."""
        self.taken.append(event)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Give an empty store."""
    with Store(tmp_path / "keystore.db") as made:
        yield made


@pytest.fixture
def outbox(store: Store) -> Outbox:
    """An outbox for one handler."""
    return Outbox(store, [SilentHandler()])


def finding(edge: str, kind: EventKind = KIND) -> Finding:
    return Finding(kind, edge, f"about {edge}", {"guest": edge}, {"n": 1})


def rows(store: Store, only: EventFilter | None = None) -> tuple[EventRow, ...]:
    with store.read() as connection:
        return list_events(connection, only or EventFilter())


def deliver_all(store: Store) -> None:
    with store.write() as connection:
        while due := find_due(connection, "pager", time.time_ns() // 1_000_000, int(WAIT_MAX_S * 1000)):
            settle_delivery(connection, due.row_id, DeliveryRow("pager", DeliveryState.DELIVERED, 1, 0, 0, ""))


def test_once_until_it_is_over(store: Store, outbox: Outbox) -> None:
    """What holds is told of once; what was over and comes again is told of again."""
    assert outbox.observe(KIND, [finding("a"), finding("b")], ["a", "b"]) == {"a", "b"}
    assert outbox.observe(KIND, [finding("a")], ["a", "b"]) == frozenset()
    assert outbox.observe(KIND, [finding("a"), finding("b")], ["a", "b"]) == frozenset()
    outbox.observe(KIND, [finding("a")], ["a"])
    assert outbox.observe(KIND, [finding("a"), finding("b")], ["a", "b"]) == {"b"}
    assert [row.event.text for row in rows(store)] == ["about a", "about b", "about b"]
    assert len({row.event.event_id for row in rows(store)}) == 3
    # Another daemon over the same store knows it as well.
    assert Outbox(store, []).observe(KIND, [finding("b")], ["a", "b"]) == frozenset()


def test_quiet_for_a_while(store: Store, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the clock, whichever way that is set."""
    now = 1000
    monkeypatch.setattr(events, "now_s", lambda: now)
    death = EventKind.WORKER_DEATH
    assert outbox.observe(death, [finding("a", death)], quiet_s=60)
    now = 1059
    assert not outbox.observe(death, [finding("a", death)], quiet_s=60)
    now = 1060
    assert outbox.observe(death, [finding("a", death)], quiet_s=60)
    now = 500
    assert outbox.observe(death, [finding("a", death)], quiet_s=60)
    assert len(rows(store)) == 3


def test_with_a_change_and_not_without_it(store: Store, outbox: Outbox) -> None:
    """The event is there when the change is, and told of once whoever finds it out."""
    with suppress(InterruptedError), store.write() as connection:
        assert outbox.add(connection, finding("a"))
        raise InterruptedError
    assert rows(store) == ()
    with store.write() as connection:
        assert outbox.add(connection, finding("a"))
        assert not outbox.add(connection, finding("a"))
    assert outbox.observe(KIND, [finding("a")], ["a"]) == frozenset()
    assert len(rows(store)) == 1


def test_full_outbox(store: Store, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """What finds no room waits outside, is counted once, and comes in when there is room and it still holds."""
    monkeypatch.setattr(events, "UNFINISHED_MAX", 2)
    found = [finding(name) for name in "abcd"]
    held = list("abcd")
    assert outbox.observe(KIND, found, held) == {"a", "b"}
    for _ in range(5):
        assert outbox.observe(KIND, found, held) == frozenset()
    assert outbox.refused_count == 2
    with store.write() as connection:
        delete_events(connection, [rows(store)[0].row_id])
    assert outbox.observe(KIND, found, held) == {"c"}
    deliver_all(store)
    assert outbox.observe(KIND, found[:3], held[:3]) == frozenset()
    assert outbox.refused_count == 2


def test_many_at_once(store: Store, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are stored a part at a time, all of them, in their order; a full outbox ends that."""
    monkeypatch.setattr(events, "BATCH", 3)
    names = [f"{number:02}" for number in range(20)]
    found = [finding(name) for name in names]
    monkeypatch.setattr(events, "UNFINISHED_MAX", 10)
    assert outbox.observe(KIND, found, names) == set(names[:10])
    monkeypatch.setattr(events, "UNFINISHED_MAX", 100)
    assert outbox.observe(KIND, found, names) == set(names[10:])
    assert [row.event.text for row in rows(store)] == [f"about {name}" for name in names]


def test_history_is_bounded(store: Store, outbox: Outbox, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest of what is delivered stay; what is not delivered stays in any case."""
    monkeypatch.setattr(events, "HISTORY_MAX", 3)
    assert outbox.observe(KIND, [finding("pending")], ["pending"])
    first = rows(store)[0].event.event_id
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE event_deliveries SET state = 'dead'")
    for number in range(10):
        outbox.observe(KIND, [finding(str(number))], ["pending"])
        deliver_all(store)
    outbox.observe(KIND, [finding("last")], ["pending"])
    found = rows(store)
    assert found[0].event.event_id == first
    assert [row.event.text for row in found[1:]] == ["about 7", "about 8", "about 9", "about last"]


def test_clock_that_is_set_back(store: Store, outbox: Outbox) -> None:
    """A delivery put off until a time that is years away now is made now."""
    outbox.observe(KIND, [finding("a")], ["a"])
    with store.write() as connection:
        connection.exec_driver_sql("UPDATE event_deliveries SET due_ms = due_ms + 100000000000")
        assert find_due(connection, "pager", time.time_ns() // 1_000_000, int(WAIT_MAX_S * 1000))
        connection.exec_driver_sql("UPDATE event_deliveries SET due_ms = due_ms - 100000000000 + 60000")
        assert not find_due(connection, "pager", time.time_ns() // 1_000_000, int(WAIT_MAX_S * 1000))


def test_dropped_while_it_was_delivered(store: Store, outbox: Outbox) -> None:
    """What became of it is nobody's any more, and no other event's."""
    outbox.observe(KIND, [finding("a"), finding("b")], ["a", "b"])
    dropped, other = rows(store)
    with store.write() as connection:
        delete_events(connection, [dropped.row_id])
        settle_delivery(connection, dropped.row_id, DeliveryRow("pager", DeliveryState.DEAD, 1, 0, 0, "why"))
    assert rows(store) == (other,)


def test_restored_stores_have_none(store: Store, outbox: Outbox) -> None:
    """They belong to the daemon of before; what still holds is found out anew."""
    outbox.observe(KIND, [finding("a")], ["a"])
    with store.write() as connection:
        forget_events(connection)
    assert rows(store) == ()
    assert outbox.observe(KIND, [finding("a")], ["a"]) == {"a"}


class FaultyHandler(SilentHandler):
    """Fails in a way that nobody thought of, the first time."""

    def deliver(self, event: Event, stop_fd: int) -> None:
        """Take it, but for the first one."""
        super().deliver(event, stop_fd)
        if len(self.taken) == 1:
            raise RuntimeError("SECRET")


def test_fault_of_ours(store: Store) -> None:
    """It costs that event, and what is said of it has nothing of what was carried; the next ones are delivered."""
    handler = FaultyHandler(attempts_max=1)
    outbox = Outbox(store, [handler])
    deliveries = Deliveries(store, [handler])
    outbox.observe(KIND, [finding("a"), finding("b")], ["a", "b"])
    deliveries.start()
    try:
        wait_for(lambda: rows(store, EventFilter(DeliveryState.DELIVERED)))
    finally:
        deliveries.stop()
        deliveries.stop()
    (dead,) = rows(store, EventFilter(DeliveryState.DEAD))
    assert dead.deliveries[0].reason == "keystored could not deliver it: RuntimeError"


def test_waits() -> None:
    """They double up to an hour, less up to a half."""
    assert [wait_before(attempt, 5, 1.0) for attempt in (1, 2, 3, 10, 11, 100)] == [5, 10, 20, 2560, 3600, 3600]
    assert wait_before(1, 5, 0.0) == 2.5
    assert wait_before(10**6, 5, 1.0) == 3600


def test_reasons_are_tame() -> None:
    """They may be anybody's words."""
    assert shorten("a\x1b[2J\n\tb") == r"a\x1b[2J b"
    assert shorten("  ") == "it gave no reason"
    assert len(shorten("x" * 10000)) == 501


def test_deaths_are_told_of_together() -> None:
    """What comes while the others are stored is kept for the next time."""
    tally = DeathTally()
    for guest in ("a", "a", "b"):
        tally.note(guest)
    told = tally.peek()
    assert told == {"a": 2, "b": 1}
    tally.note("a")
    tally.settle(told, ["a"])
    assert tally.peek() == {"a": 1, "b": 1}
