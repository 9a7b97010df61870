# SPDX-License-Identifier: Apache-2.0
"""Promise P5 through the real keystored: workers die at named instants and at random, and no guest notices."""

import contextlib
import os
import random
import signal
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from cryptography.hazmat.primitives.serialization import load_der_public_key
from framework.checked_work import Ledger, Run, Work, check_records, ed25519_work, rsa_work
from framework.keystored import Keystored
from framework.kill_points import KillPoints, keystored_with, kill_points_libexec
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib
from vmm_keystore.vhost_user.backend import STOP_RING_MS

HITS = 20
BATCH = 12
PATIENCE_S = 20.0
# Deaths follow each other without a pause here; the crash loop has a test of its own.
WAIT_LONG = "succession.QUICK_DEATH_S = 1e9; succession.QUICK_DEATHS_FREE = 0; succession.DELAY_S = 2.0"
NO_BACKOFF = "succession.QUICK_DEATHS_FREE = 1 << 30"
# The second of a pair kills the successor: while it repairs, or while it runs again what the first one left.
PAIRS = [
    ("TAKEN", None),
    ("DECIDED", None),
    ("RAN", None),
    ("RECORDED", None),
    ("MID_RESULT", None),
    ("BATCH_HEAD", None),
    ("USED_ELEMENT", None),
    ("USED_IDX", None),
    ("CLEARED", None),
    ("WRITTEN_DOWN", None),
    ("USED_IDX", "REPAIR"),
    ("RAN", "DEATH_COUNTED"),
    ("RECORDED", "RESUMED"),
    ("RECORDED", "MID_RESULT"),
    ("TAKEN", "USED_ELEMENT"),
    ("SLOW_RUNNING", None),
]


@dataclass
class Place:
    """A guest of a keystored that starts workers with kill points."""

    vault: Keystored
    guest: RingGuest
    points: KillPoints
    fast: Work
    slow: Work

    def worker(self) -> dict[str, Any]:
        """What keystored says of the guest's worker."""
        worker: dict[str, Any] = self.vault.api.get("/guests/g")["worker"]
        return worker

    def wait(self, condition: Any) -> None:
        """Ask until it is true."""
        end_s = time.monotonic() + PATIENCE_S
        while not condition():
            assert time.monotonic() < end_s, "it did not happen:\n" + self.vault.log_text
            time.sleep(0.01)

    def records(self) -> list[dict[str, Any]]:
        """Lines of the log about this guest's keyed operations."""
        assert self.vault.api.get("/audit/verify")["ok"]
        after = 0
        found: list[dict[str, Any]] = []
        while lines := self.vault.api.get(f"/audit?after={after}&limit=1000")["lines"]:
            found += [line for line in lines if line["kind"] == "use" and line["op"] not in {"info", "list"}]
            after = lines[-1]["seq"]
        return found


@contextmanager
def place(patches: str) -> Iterator[Place]:
    """Run keystored with a guest that has a fast and a slow key, connected."""
    with kill_points_libexec() as libexec, Keystored(program=keystored_with(libexec, patches=patches)) as vault:
        socket = vault.add_guest("g")
        for label, key_type in (("fast", "ed25519"), ("slow", "rsa-2048")):
            vault.api.generate(label, key_type)
            vault.api.grant("g", label, ["sign"])
        with (
            ring_guest(socket, slot_count=60) as guest,
            KillPoints.of(vault.runtime_dir / "g.state") as points,
        ):
            public = load_der_public_key(guest.public("fast"))
            assert isinstance(public, ed25519.Ed25519PublicKey)
            fast = ed25519_work(guest.key_id("fast"), public)
            public_rsa = load_der_public_key(guest.public("slow"))
            assert isinstance(public_rsa, rsa.RSAPublicKey)
            yield Place(vault, guest, points, fast, rsa_work(guest.key_id("slow"), public_rsa))


@pytest.fixture(scope="module")
def shared_place() -> Iterator[Place]:
    with place(NO_BACKOFF) as found:
        yield found


@pytest.fixture
def lone_place(request: pytest.FixtureRequest) -> Iterator[Place]:
    with place(getattr(request, "param", "pass")) as found:
        yield found


@pytest.mark.parametrize(("point", "then"), PAIRS)
def test_death_at(shared_place: Place, point: str, then: str | None) -> None:
    """Twenty deaths at one instant: every answer there once, right, on record; the connection lives."""
    found = shared_place
    ledger = Ledger(found.guest.vault)
    before = found.points.hits
    already = len(found.records())
    for hit in range(HITS):
        found.points.arm(
            point, passes=hit % 4, then=then, then_passes=1 if then in {"MID_RESULT", "USED_ELEMENT"} else 0
        )
        for i in range(BATCH):
            ledger.submit(found.slow if i % 3 == 1 and (point == "SLOW_RUNNING" or not then) else found.fast)
        found.guest.ring.kick(force=True)
        ledger.settle()
        found.wait(lambda: not found.points.is_armed)
    assert found.points.hits - before == HITS * (2 if then else 1)
    assert len(ledger.sequences) == HITS * BATCH
    check_records(ledger, map(Run.of_line, found.records()[already:]))


def test_random_deaths_under_load(shared_place: Place) -> None:
    """SIGKILL from outside at any time, fast and slow ones under way."""
    found, chance = shared_place, random.Random(5)  # noqa: S311 - the same at each run
    ledger, kills = Ledger(found.guest.vault), 0
    already = len(found.records())
    for _ in range(40):
        for _ in range(50):
            ledger.submit(found.slow if chance.random() < 0.1 else found.fast)
        found.guest.ring.kick(force=True)
        time.sleep(chance.random() * 0.01)
        pid = found.worker()["pid"]
        if pid:
            kill(pid)
            kills += 1
        ledger.settle()
    assert kills >= 20
    check_records(ledger, map(Run.of_line, found.records()[already:]))


def kill(pid: int) -> None:
    """SIGKILL, if it is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def test_request_that_kills_is_set_aside(lone_place: Place) -> None:
    """INTERNAL to the guest; log, audit and ``guest show`` tell; the guest goes on over the same ring."""
    found = lone_place
    ledger = Ledger(found.guest.vault)
    found.points.poison(lib.VKS_OP_SIGN)
    ledger.submit(found.fast)
    found.guest.ring.kick(force=True)
    ledger.settle(refused={lib.VKS_STATUS_INTERNAL})
    found.points.disarm()
    assert ledger.statuses == {lib.VKS_STATUS_INTERNAL: 1}
    for _ in range(5):
        ledger.submit(found.fast)
    found.guest.ring.kick(force=True)
    ledger.settle()
    assert found.worker()["set_aside"] == 1
    assert found.worker()["replaced"] == found.points.hits == 2
    assert f"request {ledger.sequences[0]} set aside: 2 workers died over it" in found.vault.log_text
    lines = [line for line in found.records() if line["request"] == ledger.sequences[0]]
    assert [(line["status"], line["set_aside"], line["attempt"]) for line in lines] == [("internal", True, 3)]
    shown = found.vault.cli("guest", "show", "g").stdout
    assert "requests set aside" in shown


def test_crash_loop_waits(lone_place: Place) -> None:
    """One deadly request after the other: workers follow at longer and longer intervals, and it is said."""
    found = lone_place
    ledger = Ledger(found.guest.vault)
    found.points.poison(lib.VKS_OP_SIGN)
    problems = set()
    done = threading.Event()

    def watch() -> None:
        while not done.wait(0.02):
            problems.add(found.worker()["problem"])

    watcher = threading.Thread(target=watch)
    watcher.start()
    started_s = time.monotonic()
    for _ in range(4):
        ledger.submit(found.fast)
    found.guest.ring.kick(force=True)
    ledger.settle(refused={lib.VKS_STATUS_INTERNAL})
    took_s = time.monotonic() - started_s
    done.set()
    watcher.join()
    found.points.disarm()
    # Eight deaths: the first worker had lived long, three more are free, then 0.1 + 0.2 + 0.4 + 0.8 s.
    assert found.points.hits == 8
    assert 1.5 <= took_s < 10
    assert any("crash loop" in problem for problem in problems)
    assert "crash loop" in found.vault.log_text
    ledger.submit(found.fast)
    found.guest.ring.kick(force=True)
    ledger.settle()
    found.wait(lambda: not found.worker()["problem"])


@pytest.mark.parametrize("lone_place", [WAIT_LONG], indirect=True)
def test_front_end_is_answered_while_nobody_serves(lone_place: Place) -> None:
    """GET_VRING_BASE in the middle of a replacement: in time, with the base at which the ring really goes on."""
    found = lone_place
    guest, ledger = found.guest, Ledger(lone_place.guest.vault)
    for _ in range(3):
        guest.sign(found.fast.key_id, b"m")
    found.points.arm("RECORDED", passes=1)
    for _ in range(4):
        ledger.submit(found.fast)
    guest.ring.kick(force=True)
    found.wait(lambda: found.worker()["pid"] is None)
    began_s = time.monotonic()
    base = guest.frontend.stop_ring(guest.ring)
    took_ms = (time.monotonic() - began_s) * 1000
    assert took_ms < 10 * STOP_RING_MS
    # Taken, not served: the three answered, the two that were begun; what is behind them is the ring's.
    answered = guest.ring.used_head[1]
    in_flight = base - answered
    assert in_flight == 1
    guest.frontend.start_ring(guest.ring, base=base)
    ledger.settle()
    assert len(ledger.sequences) == 4


@pytest.mark.parametrize("lone_place", [WAIT_LONG], indirect=True)
def test_front_end_goes_while_nobody_serves(lone_place: Place) -> None:
    """Nobody follows for nobody; the next front-end has its worker when the wait is over."""
    found = lone_place
    found.points.arm("RECORDED")
    found.guest.vault.submit(lib.VKS_OP_SIGN, key_id=found.fast.key_id, data=b"m", output_bytes=64)
    found.guest.ring.kick(force=True)
    found.wait(lambda: found.worker()["pid"] is None)
    found.guest.frontend.close()
    found.wait(lambda: not found.worker()["connected"])
    with ring_guest(found.vault.folder / "g.sock") as guest:
        assert guest.sign("fast", b"m").status == lib.VKS_STATUS_OK


@pytest.mark.parametrize("lone_place", [WAIT_LONG], indirect=True)
def test_successor_knows_what_was_revoked_meanwhile(lone_place: Place) -> None:
    """P6: a revocation answered during the replacement holds for what is redone after it."""
    found = lone_place
    found.points.arm("RAN")
    head = found.guest.vault.submit(lib.VKS_OP_SIGN, key_id=found.fast.key_id, data=b"m", output_bytes=64)
    found.guest.ring.kick(force=True)
    found.wait(lambda: found.worker()["pid"] is None)
    found.vault.api.revoke("g", "fast")
    (answered, answer), *_ = found.guest.vault.collect(timeout_s=20)
    assert answered == head
    assert answer.status == lib.VKS_STATUS_NO_KEY
