# SPDX-License-Identifier: Apache-2.0
"""What is planned for keys: of no use meanwhile, taken back or done, also by a daemon that starts later."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from unit.fakes import FakeDaemon

from vmm_keystore.errors import CustodianError, InvalidRequestError, KeystoreError, NotFoundError, StateError
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Op
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.grants import GrantRequest
from vmm_keystore.service.guest_values import Guest
from vmm_keystore.service.key_plans import Action
from vmm_keystore.service.keystore import Keystore
from vmm_keystore.service.schedule import Schedule

ROOT = Actor(uid=0, pid=99)
DAY_S = 86400
ACTIVE, SUSPENDED, DEACTIVATED, DESTROYED = (
    KeyState.ACTIVE,
    KeyState.SUSPENDED,
    KeyState.DEACTIVATED,
    KeyState.DESTROYED,
)


class Clock:
    """What the plans believe the time is."""

    def __init__(self) -> None:
        self.now_s = int(time.time())

    def __call__(self) -> int:
        """Tell it."""
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    found = Clock()
    monkeypatch.setattr("vmm_keystore.service.key_plans.now_s", found)
    return found


@pytest.fixture
def daemon(tmp_path: Path, clock: Clock) -> Iterator[FakeDaemon]:
    """A guest with a key of two versions; nothing happens by itself."""
    opened = FakeDaemon(tmp_path)
    opened.keystore.schedule.stop()
    keystore = opened.keystore
    keystore.guests.add(ROOT, Guest("vm1", "/run/vm1.sock"))
    keystore.keys.generate(ROOT, "k", KeyType.AES_256, activate=True)
    keystore.keys.rotate(ROOT, "k")
    keystore.grants.add(ROOT, GrantRequest("vm1", "k", [Op.ENCRYPT, Op.DECRYPT]))
    assert clock.now_s
    yield opened
    opened.close()


def seen(daemon: FakeDaemon) -> list[KeyState]:
    """States of the versions as the guest has them."""
    return [key.state for key in daemon.workers.in_force["vm1"]]


def test_planned_destruction(daemon: FakeDaemon, clock: Clock) -> None:
    """Of no use from the answer on; there until its time has come, and gone with its blob then."""
    plans = daemon.keystore.plans
    key, applied = plans.destroy_later(ROOT, "k", None, clock.now_s + 7 * DAY_S)
    assert [one.guest for one in applied] == ["vm1"]
    assert seen(daemon) == [SUSPENDED, SUSPENDED]
    assert [version.state for version in key.versions] == [DEACTIVATED, ACTIVE]
    clock.now_s += 7 * DAY_S - 1
    plans.do_due()
    assert seen(daemon) == [SUSPENDED, SUSPENDED]
    clock.now_s += 1
    plans.do_due()
    assert seen(daemon) == []
    key = daemon.keystore.keys.show("k")
    assert [(version.state, version.destroy_at_s) for version in key.versions] == [(DESTROYED, None)] * 2
    with daemon.store.read() as connection:
        assert connection.exec_driver_sql("SELECT sealed FROM key_versions").scalars().all() == [None, None]
    assert plans.next_due() is None
    assert [line["action"] for line in daemon.admin_lines()[-3:]] == ["key-destroy-plan", "key-destroy", "key-destroy"]


def test_taken_back(daemon: FakeDaemon, clock: Clock) -> None:
    """Every version is what it was before."""
    daemon.keystore.plans.destroy_later(ROOT, "k", None, clock.now_s + 10)
    _key, applied = daemon.keystore.plans.keep(ROOT, "k", None)
    assert [one.guest for one in applied] == ["vm1"]
    assert seen(daemon) == [DEACTIVATED, ACTIVE]
    clock.now_s += 100
    daemon.keystore.plans.do_due()
    assert seen(daemon) == [DEACTIVATED, ACTIVE]


def test_one_version(daemon: FakeDaemon, clock: Clock) -> None:
    """The other one goes on."""
    daemon.keystore.plans.destroy_later(ROOT, "k", 1, clock.now_s + 10)
    assert seen(daemon) == [SUSPENDED, ACTIVE]
    daemon.keystore.plans.destroy_later(ROOT, "k", None, clock.now_s + 20)
    daemon.keystore.plans.keep(ROOT, "k", 2)
    assert seen(daemon) == [SUSPENDED, ACTIVE]
    clock.now_s += 21
    daemon.keystore.plans.do_due()
    assert seen(daemon) == [ACTIVE]


def test_due_while_there_was_no_daemon(daemon: FakeDaemon, clock: Clock, tmp_path: Path) -> None:
    """The next one does it before it is asked for anything."""
    daemon.keystore.plans.destroy_later(ROOT, "k", 1, clock.now_s + 10)
    daemon.close()
    clock.now_s += 100
    after = FakeDaemon(tmp_path)
    after.keystore.schedule.stop()
    assert after.keystore.keys.show("k").versions[0].state == DESTROYED
    after.close()


def test_rotation_by_age(daemon: FakeDaemon, clock: Clock) -> None:
    """When the current version is old enough, again and again; not a key that protects nothing any more."""
    plans, keys = daemon.keystore.plans, daemon.keystore.keys
    plans.set_rotation(ROOT, "k", 10 * DAY_S)
    made_s = keys.show("k").versions[-1].created_s
    due = plans.next_due()
    assert due is not None
    assert (due.at_s, due.action, due.version) == (made_s + 10 * DAY_S, Action.ROTATE, 2)
    clock.now_s = made_s + 10 * DAY_S - 1
    plans.do_due()
    assert keys.show("k").current_version == 2
    clock.now_s += 1
    plans.do_due()
    assert keys.show("k").current_version == 3
    assert seen(daemon) == [DEACTIVATED, DEACTIVATED, ACTIVE]
    assert daemon.admin_lines()[-1]["action"] == "key-rotate"
    keys.move(ROOT, "k", SUSPENDED, None)
    assert plans.next_due() is None
    keys.move(ROOT, "k", ACTIVE, None)
    plans.set_rotation(ROOT, "k", None)
    assert plans.next_due() is None


def test_what_fails_is_tried_again_and_holds_nothing_up(daemon: FakeDaemon, clock: Clock) -> None:
    """A rotation without a custodian; the destruction behind it takes place."""
    plans = daemon.keystore.plans
    daemon.keystore.keys.generate(ROOT, "other", KeyType.ED25519, activate=True)
    plans.set_rotation(ROOT, "k", 1)
    plans.destroy_later(ROOT, "other", None, clock.now_s + 5)
    clock.now_s += 100
    daemon.custodian.broken = True
    with pytest.raises(CustodianError):
        daemon.keystore.keys.rotate(ROOT, "k")
    plans.do_due()
    assert daemon.keystore.keys.show("other").state == DESTROYED
    assert daemon.keystore.keys.show("k").current_version == 2
    daemon.custodian.broken = False
    plans.do_due()
    assert daemon.keystore.keys.show("k").current_version == 3


def test_what_failed_waits_for_its_next_try(daemon: FakeDaemon, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A minute, or until something else is due; it is not tried again and again meanwhile."""
    plans, waits = daemon.keystore.plans, list[float | None]()
    daemon.custodian.broken = True
    monkeypatch.setattr("vmm_keystore.service.schedule.now_s", clock)
    schedule = Schedule(plans)

    class Woken(threading.Event):
        """Nobody wakes it; after the wait it is to stop."""

        def wait(self, timeout: float | None = None) -> bool:
            waits.append(timeout)
            schedule._stopping = True
            return False

    for other_after_s in (None, 20):
        plans.set_rotation(ROOT, "k", 1)
        clock.now_s += 100
        if other_after_s:
            plans.destroy_later(ROOT, "k", 1, clock.now_s + other_after_s)
        schedule._stopping, schedule._woken = False, Woken()
        schedule._run()
    assert waits == [60.0, 20]
    assert daemon.keystore.keys.show("k").current_version == 2


def test_min_version(daemon: FakeDaemon) -> None:
    """Older ones do nothing, and come back when the bound goes down; a rotation leaves it."""
    daemon.keystore.plans.set_min_version(ROOT, "k", 2)
    assert seen(daemon) == [SUSPENDED, ACTIVE]
    daemon.keystore.keys.rotate(ROOT, "k")
    assert seen(daemon) == [SUSPENDED, DEACTIVATED, ACTIVE]
    daemon.keystore.plans.set_min_version(ROOT, "k", 1)
    assert seen(daemon) == [DEACTIVATED, DEACTIVATED, ACTIVE]


Attempt = Callable[[Keystore, int], object]
REFUSED: dict[str, tuple[Attempt, type[KeystoreError], str]] = {
    "time that has passed": (
        lambda keystore, now: keystore.plans.destroy_later(ROOT, "k", None, now),
        InvalidRequestError,
        "the time of the destruction has passed",
    ),
    "planned twice": (
        lambda keystore, now: keystore.plans.destroy_later(ROOT, "k", 2, now + 9),
        StateError,
        "destruction of key 'k' version 2 is planned already",
    ),
    "no such key": (
        lambda keystore, now: keystore.plans.destroy_later(ROOT, "no", None, now + 9),
        NotFoundError,
        "no key 'no'",
    ),
    "no such version": (
        lambda keystore, now: keystore.plans.destroy_later(ROOT, "k", 9, now + 9),
        NotFoundError,
        "no version 9",
    ),
    "rotation": (lambda keystore, _now: keystore.keys.rotate(ROOT, "k"), StateError, "version 2 is planned"),
    "suspension": (
        lambda keystore, _now: keystore.keys.move(ROOT, "k", SUSPENDED, None),
        StateError,
        "version 2 is planned",
    ),
    "keeping what is not planned": (
        lambda keystore, _now: keystore.plans.keep(ROOT, "k", 1),
        StateError,
        "no destruction of key 'k' version 1 is planned",
    ),
    "minimum above all versions": (
        lambda keystore, _now: keystore.plans.set_min_version(ROOT, "k", 3),
        NotFoundError,
        "no version 3",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused(daemon: FakeDaemon, clock: Clock, case: str) -> None:
    """With the cause, on record, and nothing is changed."""
    daemon.keystore.plans.destroy_later(ROOT, "k", 2, clock.now_s + 100)
    before, in_force = daemon.keystore.keys.list(), dict(daemon.workers.in_force)
    attempt, error, message = REFUSED[case]
    with pytest.raises(error, match=message):
        attempt(daemon.keystore, clock.now_s)
    assert daemon.keystore.keys.list() == before
    assert daemon.workers.in_force == in_force
    assert message in daemon.admin_lines()[-1]["reason"]


def test_destroyed_at_once_and_compromised_although_it_is_planned(daemon: FakeDaemon, clock: Clock) -> None:
    """What is worse may come earlier."""
    daemon.keystore.plans.destroy_later(ROOT, "k", None, clock.now_s + 100)
    daemon.keystore.keys.move(ROOT, "k", KeyState.COMPROMISED, 1)
    assert seen(daemon) == [SUSPENDED, SUSPENDED]
    daemon.keystore.keys.move(ROOT, "k", DESTROYED, None)
    assert seen(daemon) == []
    with pytest.raises(StateError, match="destroyed already"):
        daemon.keystore.plans.set_rotation(ROOT, "k", 5)
