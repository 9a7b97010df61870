# SPDX-License-Identifier: Apache-2.0
"""Uses of keys in the store are what the audit log says: exactly, whoever dies when, and never later than the truth."""

import random
import shutil
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from framework.patience import wait_for
from unit.audit.test_audit import pack
from unit.fakes import FakeDaemon

from vmm_keystore._vks import lib
from vmm_keystore.audit import key_uses
from vmm_keystore.errors import InvalidRequestError, StoreFullError
from vmm_keystore.policy.lifecycle import ENCRYPTIONS_MAX, ENCRYPTIONS_NEAR
from vmm_keystore.policy.vocabulary import KeyState, KeyType, Op, Status
from vmm_keystore.service import key_uses as service_key_uses
from vmm_keystore.service.changes import Actor
from vmm_keystore.service.grants import GrantRequest
from vmm_keystore.service.guest_values import Guest
from vmm_keystore.service.key_plans import Action
from vmm_keystore.store import tables
from vmm_keystore.store.key_list import KeyFilter
from vmm_keystore.store.key_uses import find_standing, forget_standing
from vmm_keystore.store.keys import are_bound_by_use
from vmm_keystore.store.tables import keys

ROOT = Actor(uid=0, pid=99)
THEN_S = 1_700_000_000
YEAR_S = 365 * 86400


@pytest.fixture(autouse=True)
def _by_hand(monkeypatch: pytest.MonkeyPatch) -> None:
    """The thread stores when it starts and when it ends."""
    monkeypatch.setattr(service_key_uses, "PAUSE_S", 1000.0)


def open_daemon(folder: Path) -> FakeDaemon:
    """A daemon on *folder*, once it has counted what it missed."""
    folder.mkdir(exist_ok=True)
    daemon = FakeDaemon(folder)
    daemon.keystore.key_uses.store_now()
    return daemon


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[FakeDaemon]:
    """Two guests with a key each; the first key has two versions."""
    opened = open_daemon(tmp_path / "state")
    keystore = opened.keystore
    for number in (1, 2):
        keystore.guests.add(ROOT, Guest(f"vm{number}", f"/run/vm{number}.sock"))
        keystore.keys.generate(ROOT, f"k{number}", KeyType.AES_256, activate=True)
        keystore.grants.add(ROOT, GrantRequest(f"vm{number}", f"k{number}", [Op.ENCRYPT, Op.DECRYPT]))
    keystore.keys.rotate(ROOT, "k1")
    yield opened
    with suppress(KeyError):
        opened.close()


class Guests:
    """Records as workers write them."""

    def __init__(self, daemon: FakeDaemon) -> None:
        self.ids = {key.label: key.key_id for key in daemon.keystore.keys.list()}
        self.number = 0

    def record(self, key: str = "k1", op: Op = Op.ENCRYPT, **fields: Any) -> dict[str, Any]:
        """One that was done."""
        self.number += 1
        return {
            "record": self.number,
            "request_sequence": self.number,
            "time_ns": (THEN_S + self.number) * 10**9,
            "covered": lib.vks_audit_covered(32),
            "key_id": self.ids[key],
            "key_version": 1,
            "op": op,
            "status": Status.OK,
            "attempt": 1,
            **fields,
        }


def append(daemon: FakeDaemon, *records: dict[str, Any], guest: str = "vm1") -> None:
    daemon.workers.rings[guest] = pack(*records)
    daemon.workers.drain_audit()


def stored(daemon: FakeDaemon, label: str = "k1") -> dict[tuple[int, Op], tuple[int, int]]:
    """What the store says of a key: last time and count by version and operation."""
    key = daemon.keystore.keys.show(label)
    return {(version, use.op): (use.last_s, use.count) for version, uses in key.uses.items() for use in uses}


def crash(daemon: FakeDaemon, folder: Path) -> FakeDaemon:
    """What is on the disk at this moment, and a daemon on it."""
    shutil.copytree(daemon.state_dir, folder)
    return open_daemon(folder)


def test_uses_are_counted(daemon: FakeDaemon) -> None:
    """By version and operation; the last time is the latest; what was refused or failed is no use."""
    guests = Guests(daemon)
    append(
        daemon,
        guests.record(key_version=2, time_ns=(THEN_S + 50) * 10**9 + 999_999_999),
        guests.record(key_version=2, time_ns=(THEN_S + 40) * 10**9),
        guests.record(op=Op.DECRYPT, status=Status.AUTH_FAILED, time_ns=THEN_S * 10**9),
        guests.record(status=Status.DENIED),
        guests.record(status=Status.LIMIT),
        guests.record(status=Status.INPUT_SIZE),
        guests.record(op=Op.PUBLIC),
        guests.record() | {"op": 77},
    )
    assert daemon.keystore.keys.show("k1").last_used_s is None
    daemon.keystore.key_uses.store_now()
    assert stored(daemon) == {(2, Op.ENCRYPT): (THEN_S + 50, 2), (1, Op.DECRYPT): (THEN_S, 1)}
    assert daemon.keystore.keys.show("k1").last_used_s == THEN_S + 50
    # Later ones add up; an earlier time does not take the last one back.
    append(daemon, guests.record(key_version=2, time_ns=THEN_S * 10**9))
    daemon.keystore.key_uses.store_now()
    assert stored(daemon)[2, Op.ENCRYPT] == (THEN_S + 50, 3)
    assert stored(daemon, "k2") == {}


def test_shared_records_count_each_operation(daemon: FakeDaemon) -> None:
    """Live and counted anew alike."""
    covered = lib.vks_audit_covered(32) * 10
    assert lib.vks_audit_covered_requests(covered) == 10
    append(daemon, Guests(daemon).record(covered=covered))
    daemon.keystore.key_uses.store_now()
    assert stored(daemon)[1, Op.ENCRYPT][1] == 10


def test_a_fallen_worker_says_nothing_of_others(daemon: FakeDaemon, tmp_path: Path) -> None:
    """Keys that its guest does not hold, versions that there are not, times to come; nor does the log afterwards."""
    guests = Guests(daemon)
    future_ns = (int(time.time()) + YEAR_S) * 10**9
    append(
        daemon,
        guests.record("k2"),
        guests.record(key_version=9),
        guests.record(key_id=b"made up 16 bytes"),
        guests.record(key_version=2, time_ns=future_ns),
    )
    after = crash(daemon, tmp_path / "after")
    for one in (daemon, after):
        one.keystore.key_uses.store_now()
        assert stored(one, "k2") == {}
        assert stored(one).keys() == {(2, Op.ENCRYPT)}
        assert abs(stored(one)[2, Op.ENCRYPT][0] - time.time()) < 60
    after.close()


def test_crash_before_it_was_stored(daemon: FakeDaemon, tmp_path: Path) -> None:
    """The next daemon counts what the log says behind what is stored, once; records that come again are known."""
    guests = Guests(daemon)
    append(daemon, guests.record())
    daemon.keystore.key_uses.store_now()
    late = [guests.record(), guests.record(op=Op.DECRYPT, key_version=2)]
    append(daemon, *late)
    after = crash(daemon, tmp_path / "after")
    expected = {(1, Op.ENCRYPT): (THEN_S + 2, 2), (2, Op.DECRYPT): (THEN_S + 3, 1)}
    assert stored(after) == expected
    # They were in the ring still; one more follows them.
    append(after, *late, guests.record(op=Op.DECRYPT, key_version=2))
    after.keystore.key_uses.store_now()
    assert stored(after) == expected | {(2, Op.DECRYPT): (THEN_S + 4, 2)}
    after.close()
    again = open_daemon(tmp_path / "after")
    assert stored(again) == expected | {(2, Op.DECRYPT): (THEN_S + 4, 2)}
    again.close()


@pytest.mark.parametrize("seed", range(4))
def test_exact_in_any_order(daemon: FakeDaemon, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, seed: int) -> None:
    """Records, stores, failing stores, more kinds than there is room for, and crashes: the log's count in the end."""
    monkeypatch.setattr(key_uses, "KINDS_MAX", 3)
    monkeypatch.setattr(service_key_uses, "KINDS_MAX", 3)
    chance, guests, expected, present = random.Random(seed), Guests(daemon), Counter[tuple[int, Op]](), daemon  # noqa: S311
    opened = list[FakeDaemon]()

    def fail(*_arguments: object) -> tuple[int, ...]:
        raise StoreFullError("no space left")

    for number in range(40):
        match chance.choice(["record"] * 4 + ["store", "fail", "crash"]):
            case "record":
                kinds = [
                    (chance.choice([1, 2]), chance.choice([Op.ENCRYPT, Op.DECRYPT]))
                    for _ in range(chance.randint(1, 6))
                ]
                append(present, *(guests.record(op=op, key_version=version) for version, op in kinds))
                expected.update(kinds)
            case "store":
                present.keystore.key_uses.store_now()
            case "fail":
                with monkeypatch.context() as broken, suppress(StoreFullError):
                    broken.setattr(service_key_uses, "add_uses", fail)
                    present.keystore.key_uses.store_now()
            case _:
                present = crash(present, tmp_path / str(number))
                opened.append(present)
    present.keystore.key_uses.store_now()
    assert {kind: count for kind, (_last_s, count) in stored(present).items()} == expected
    for one in opened:
        one.close()


def test_a_log_that_is_another_one(daemon: FakeDaemon, tmp_path: Path) -> None:
    """Moved away as evidence: what is counted stays, the new log is counted from its start."""
    guests = Guests(daemon)
    append(daemon, *(guests.record() for _ in range(20)))
    daemon.close()
    shutil.move(tmp_path / "state" / "audit", tmp_path / "evidence")
    after = open_daemon(tmp_path / "state")
    append(after, guests.record())
    after.keystore.key_uses.store_now()
    assert stored(after)[1, Op.ENCRYPT] == (THEN_S + 21, 21)
    after.close()


def test_a_log_that_cannot_be_read(daemon: FakeDaemon, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Said; what was done before that is not known any more, and nobody is told that a key was not used."""
    guests = Guests(daemon)
    daemon.keystore.key_uses.store_now()
    append(daemon, guests.record(), guests.record())
    shutil.copytree(daemon.state_dir, tmp_path / "after")
    (segment,) = (tmp_path / "after" / "audit").glob("*.jsonl")
    content = segment.read_bytes().splitlines(keepends=True)
    content[-2] = b"x" * (len(content[-2]) - 1) + b"\n"
    segment.write_bytes(b"".join(content))
    after = open_daemon(tmp_path / "after")
    assert "how keys were used before now is not known: line " in caplog.text
    with pytest.raises(InvalidRequestError, match=r"uses of keys are known from 20..-.*Z on, not before"):
        after.keystore.keys.list(KeyFilter(unused_since_s=THEN_S))
    append(after, guests.record())
    after.keystore.key_uses.store_now()
    assert stored(after)[1, Op.ENCRYPT] == (THEN_S + 3, 1)
    after.close()


def test_unused_since(daemon: FakeDaemon) -> None:
    """Keys that were there and not used from then on; a younger key is no unused one."""
    guests = Guests(daemon)
    with daemon.store.write() as connection:
        connection.execute(keys.update().values(created_s=THEN_S - YEAR_S))
    daemon.keystore.keys.generate(ROOT, "young", KeyType.AES_128, activate=True)
    append(daemon, guests.record(time_ns=THEN_S * 10**9))
    daemon.keystore.key_uses.store_now()

    def unused(since_s: int) -> list[str]:
        return [key.label for key in daemon.keystore.keys.list(KeyFilter(unused_since_s=since_s, limit=10))]

    assert unused(THEN_S + 1) == ["k1", "k2"]
    assert unused(THEN_S) == ["k2"]
    assert unused(THEN_S - YEAR_S) == []
    assert unused(int(time.time()) + 60) == ["k1", "k2", "young"]


def test_keys_of_before_they_were_counted(daemon: FakeDaemon, tmp_path: Path) -> None:
    """A store of an older version, or a restored one: it is said since when uses are known; nothing is guessed."""
    append(daemon, Guests(daemon).record())
    with daemon.store.read() as connection:
        assert getattr(find_standing(connection), "since_s", None) == 0
    daemon.close()
    older = FakeDaemon(tmp_path / "state")
    older.keystore.key_uses.stop()
    with older.store.write() as connection:
        forget_standing(connection)
    older.store.close()
    after = open_daemon(tmp_path / "state")
    with pytest.raises(InvalidRequestError) as caught:
        after.keystore.keys.list(KeyFilter(unused_since_s=int(time.time()) - 90 * 86400))
    assert caught.value.message.startswith("uses of keys are known from ")
    assert caught.value.hint == "ask for a time after that, or look into the audit log"
    assert after.keystore.keys.list(KeyFilter(unused_since_s=int(time.time()) + 1))
    after.close()


def test_nothing_is_written_while_nothing_is_used(daemon: FakeDaemon) -> None:
    """Refusals and changes cost no transaction."""
    guests = Guests(daemon)
    append(daemon, guests.record())
    daemon.keystore.key_uses.store_now()
    with daemon.store.read() as connection:
        before = find_standing(connection)
    append(daemon, *(guests.record(status=Status.DENIED) for _ in range(50)))
    daemon.keystore.key_uses.store_now()
    with daemon.store.read() as connection:
        assert find_standing(connection) == before


def test_rotation_by_use(daemon: FakeDaemon) -> None:
    """When the current version has protected so often, and not before; what processes does not count."""
    keystore, guests = daemon.keystore, Guests(daemon)
    keystore.schedule.stop()
    keystore.plans.set_rotation(ROOT, "k1", None, 5)
    assert keystore.keys.show("k1").rotate_after_uses == 5
    append(daemon, *(guests.record(key_version=2) for _ in range(4)))
    append(daemon, *(guests.record(key_version=2, op=Op.DECRYPT) for _ in range(4)))
    append(daemon, *(guests.record(key_version=1) for _ in range(4)))
    keystore.key_uses.store_now()
    assert keystore.plans.next_due() is None
    append(daemon, guests.record(key_version=2))
    keystore.key_uses.store_now()
    keystore.plans.do_due()
    assert keystore.keys.show("k1").current_version == 3
    assert (daemon.admin_lines()[-1]["action"], daemon.admin_lines()[-2]["after_uses"]) == ("key-rotate", 5)
    # The new version begins at none.
    assert keystore.plans.next_due() is None
    append(daemon, *(guests.record(key_version=3) for _ in range(5)))
    keystore.key_uses.store_now()
    keystore.keys.move(ROOT, "k1", KeyState.SUSPENDED, None)
    assert keystore.plans.next_due() is None
    keystore.keys.move(ROOT, "k1", KeyState.ACTIVE, None)
    assert keystore.plans.next_due() is not None
    keystore.plans.set_rotation(ROOT, "k1", 10, None)
    due = keystore.plans.next_due()
    assert due is not None
    assert (due.action, due.why) == (Action.ROTATE, "it is due by its age")


def test_uses_wake_the_rotation(daemon: FakeDaemon) -> None:
    """Of a key that is rotated by them, and of no other one."""
    keystore, guests = daemon.keystore, Guests(daemon)
    keystore.plans.set_rotation(ROOT, "k1", None, 2)
    append(daemon, guests.record(key_version=2), guests.record(key_version=2))
    append(daemon, guests.record("k2"), guest="vm2")
    keystore.key_uses.store_now()
    wait_for(lambda: keystore.keys.show("k1").current_version == 3)
    assert keystore.keys.show("k2").current_version == 1
    with daemon.store.read() as connection:
        rows = {key.label: key.row_id for key in keystore.keys.list()}
        assert [are_bound_by_use(connection, [rows[label]], ENCRYPTIONS_MAX) for label in ("k1", "k2")] == [True, False]


@pytest.mark.parametrize("rotated", [False, True])
def test_bound_of_aead(daemon: FakeDaemon, rotated: bool) -> None:
    """The version stops encrypting, or makes way for the next one where somebody has it rotated; not a use before."""
    keystore, guests = daemon.keystore, Guests(daemon)
    keystore.schedule.stop()
    if rotated:
        keystore.plans.set_rotation(ROOT, "k1", 100 * YEAR_S)
    append(daemon, guests.record(key_version=2), guests.record(op=Op.DECRYPT), guests.record("k2"))
    keystore.key_uses.store_now()
    rows = tuple(key.row_id for key in keystore.keys.list())
    for before, are_worn in ((ENCRYPTIONS_NEAR - 2, False), (ENCRYPTIONS_MAX - 2, True)):
        with daemon.store.write() as connection:
            now_many = tables.key_uses.update().where(
                tables.key_uses.c.version == 2, tables.key_uses.c.op == Op.ENCRYPT
            )
            connection.execute(now_many.values(use_count=before))
        append(daemon, guests.record(key_version=2))
        keystore.key_uses.store_now()
        assert keystore.plans.concern(rows) is False
        keystore.plans.do_due()
        assert keystore.keys.show("k1").state == KeyState.ACTIVE
        assert [key.label for key in keystore.plans.worn()] == ["k1"] * are_worn
    append(daemon, guests.record(key_version=2))
    keystore.key_uses.store_now()
    assert keystore.plans.concern(rows)
    keystore.plans.do_due()
    states = [version.state for version in keystore.keys.show("k1").versions]
    after = [KeyState.DEACTIVATED, KeyState.ACTIVE] if rotated else [KeyState.DEACTIVATED]
    assert states[1:] == after
    assert daemon.admin_lines()[-1]["action"] == ("key-rotate" if rotated else "key-deactivate")
    assert keystore.plans.worn() == []
    assert keystore.keys.show("k2").state == KeyState.ACTIVE


def test_data_keys_count_as_encryptions(daemon: FakeDaemon) -> None:
    """Either alone is far from the bound, both together have come to it."""
    keystore, guests = daemon.keystore, Guests(daemon)
    keystore.schedule.stop()
    append(daemon, guests.record(key_version=2), guests.record(key_version=2, op=Op.DATA_KEY))
    keystore.key_uses.store_now()
    for count, are_worn, state in (
        (ENCRYPTIONS_NEAR // 2 - 1, False, KeyState.ACTIVE),
        (ENCRYPTIONS_MAX // 2 - 1, True, KeyState.ACTIVE),
        (ENCRYPTIONS_MAX // 2, False, KeyState.DEACTIVATED),
    ):
        with daemon.store.write() as connection:
            of_version = tables.key_uses.update().where(tables.key_uses.c.version == 2)
            connection.execute(of_version.values(use_count=count))
        keystore.plans.do_due()
        assert keystore.keys.show("k1").state == state
        assert [key.label for key in keystore.plans.worn()] == ["k1"] * are_worn


def test_bound_of_aead_is_of_aead(daemon: FakeDaemon) -> None:
    """However often a key has signed, that is no reason to stop it."""
    keystore = daemon.keystore
    keystore.schedule.stop()
    keystore.keys.generate(ROOT, "s", KeyType.ED25519, activate=True)
    keystore.keys.generate(ROOT, "x", KeyType.AES_128_XTS, activate=True)
    rows = {label: keystore.keys.show(label).row_id for label in ("s", "x")}
    with daemon.store.write() as connection:
        for label, op in (("s", Op.SIGN), ("x", Op.ENCRYPT)):
            row = {"key": rows[label], "version": 1, "op": op, "last_s": THEN_S, "use_count": 2**40}
            connection.execute(tables.key_uses.insert().values(**row))
    keystore.plans.do_due()
    assert [keystore.keys.show(label).state for label in ("s", "x")] == [KeyState.ACTIVE] * 2
    assert (keystore.plans.next_due(), keystore.plans.worn()) == (None, [])
