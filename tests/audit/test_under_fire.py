# SPDX-License-Identifier: Apache-2.0
"""Promise P4 with the real processes: whatever reached a guest is on record, whoever is killed or whatever is full."""

from __future__ import annotations

import os
import random
import resource
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from framework.keystored import Keystored
from framework.patience import wait_for
from framework.ring_guest import RingGuest, ring_guest

from vmm_keystore._vks import lib
from vmm_keystore.audit.note import AuditPublicKey
from vmm_keystore.audit.verify import verify_chain

WINDOW = 32
ROUNDS = 12
STALL_S = 1.5


def worker_pid(vault: Keystored) -> int:
    return int(wait_for(lambda: vault.api.get("/guests/g")["worker"]["pid"]))


def send(guest: RingGuest, key_id: bytes) -> None:
    """Ask as another user than the last time: requests of different ones never share a record."""
    head, slot = guest.vault.take()
    uid = guest.ring.avail_idx % 2
    slot.fill(
        lib.VKS_OP_SIGN, key_id=key_id, data=os.urandom(32), output_bytes=64, flags=lib.VKS_REQUEST_F_UID, uid=uid
    )
    slot.clear_answer()
    guest.vault.send(head)


def pump(guest: RingGuest, key_id: bytes, until: Callable[[], bool]) -> set[int]:
    """Keep the window full until told to stop; sequences of every result that reached the guest, published or not."""
    seen: set[int] = set()
    while not until():
        while len(guest.vault.busy) < WINDOW:
            send(guest, key_id)
        guest.ring.kick()
        try:
            answers = guest.vault.collect(1, 0.05)
        except TimeoutError:
            answers = guest.vault.collect(0)
        seen |= {answer.sequence for _, answer in answers}
    seen |= {answer.sequence for _, answer in guest.vault.collect(0)}
    # A result that was written and not published any more: its bytes are in the guest's memory all the same.
    seen |= {guest.vault.slot(head).answer(0).sequence for head in guest.vault.busy}
    return seen - {0}


def pump_until_stalled(guest: RingGuest, key_id: bytes) -> list[int]:
    """Keep the window full until nothing is answered for a second; sequences of the answers."""
    collected: list[int] = []
    while True:
        while len(guest.vault.busy) < WINDOW:
            send(guest, key_id)
        guest.ring.kick()
        try:
            collected += [answer.sequence for _, answer in guest.vault.collect(1, STALL_S)]
        except TimeoutError:
            return collected


def recorded_requests(vault: Keystored) -> set[int]:
    covered: set[int] = set()
    after = 0
    while True:
        page = vault.api.get(f"/audit?after={after}&limit=1000&guest=g")
        for line in page["lines"]:
            covered |= set(range(line["request"], line["request"] + line["count"])) if line["kind"] == "use" else set()
        if page["last_seq"] == after:
            return covered
        after = page["last_seq"]


@pytest.fixture
def socket(vault: Keystored) -> Path:
    path = vault.add_guest("g")
    vault.api.generate("key", "ed25519")
    vault.api.grant("g", "key", ["sign"])
    return path


def check_log(vault: Keystored) -> None:
    key = AuditPublicKey.from_text(vault.api.get("/audit/public-key")["vkey"])
    head = key.open_note(vault.api.post("/audit/checkpoint")["note"])
    report = verify_chain(vault.state_dir / "audit", head.seq + 1, key=key, kept=[head])
    assert report.ok, report.problem


@pytest.mark.timeout(240)
@pytest.mark.parametrize("victim", ["worker", "keystored", "keystored and holder"])
def test_sigkill_under_load(vault: Keystored, socket: Path, victim: str) -> None:
    """Killed at random, again and again: each result that reached the guest has its record, and the chain holds."""
    chance = random.Random(f"audit {victim}")  # noqa: S311 -- when to kill, not what to sign with
    seen: set[int] = set()
    for _ in range(ROUNDS):
        with ring_guest(socket, slot_count=WINDOW) as guest:
            key_id = guest.key_id("key")
            killed = threading.Event()

            def kill(pid: int = worker_pid(vault), killed: threading.Event = killed) -> None:
                if victim == "worker":
                    os.kill(pid, signal.SIGKILL)
                    wait_for(lambda: not Path(f"/proc/{pid}").exists())
                elif victim == "keystored":
                    vault.kill()
                else:
                    vault.kill_all()
                    wait_for(lambda: not Path(f"/proc/{pid}").exists())
                killed.set()

            timer = threading.Timer(chance.uniform(0.02, 0.3), kill)
            timer.start()
            answered = pump(guest, key_id, killed.is_set)
            timer.join()
            assert answered
            seen |= answered
        if victim != "worker":
            vault.start()
    check_log(vault)
    assert len(seen) > 10 * ROUNDS
    assert seen <= recorded_requests(vault), "a result without a record"


def test_operations_wait_while_nobody_drains(vault: Keystored, socket: Path) -> None:
    """The daemon is stopped: the ring takes its 8192 records, then requests wait; afterwards none is missing."""
    with ring_guest(socket, slot_count=WINDOW) as guest:
        key_id = guest.key_id("key")
        before = recorded_requests(vault)
        os.kill(vault.pid, signal.SIGSTOP)
        try:
            collected = pump_until_stalled(guest, key_id)
            assert len(collected) == lib.VKS_AUDIT_RING_RECORDS
            assert len(guest.vault.busy) == WINDOW
            assert not any(guest.vault.slot(head).answer(0).sequence for head in guest.vault.busy)
        finally:
            os.kill(vault.pid, signal.SIGCONT)
        collected += [answer.sequence for _, answer in guest.vault.collect(WINDOW)]
        recorded = recorded_requests(vault) - before
        assert recorded == set(collected)
    check_log(vault)


def test_operations_wait_while_the_disk_is_full(vault: Keystored, socket: Path) -> None:
    """No room for the log: operations stop once the ring is full, the daemon says so, and it goes on with room."""
    with ring_guest(socket, slot_count=WINDOW) as guest:
        key_id = guest.key_id("key")
        pump(guest, key_id, lambda: True)
        segment = max((vault.state_dir / "audit").glob("audit-*.jsonl"))
        unlimited = resource.prlimit(vault.pid, resource.RLIMIT_FSIZE)
        recorded_requests(vault)
        resource.prlimit(vault.pid, resource.RLIMIT_FSIZE, (segment.stat().st_size + 100, unlimited[1]))
        collected = pump_until_stalled(guest, key_id)
        assert len(collected) == lib.VKS_AUDIT_RING_RECORDS
        problem = vault.api.get("/status")["audit"]["problem"]
        assert "cannot write the audit log" in problem
        assert problem in vault.log_text
        assert vault.log_text.count(problem) == 1, "said once, not at each attempt"
        resource.prlimit(vault.pid, resource.RLIMIT_FSIZE, unlimited)
        collected += [answer.sequence for _, answer in guest.vault.collect(WINDOW)]
        assert set(collected) <= recorded_requests(vault)
        assert not vault.api.get("/status")["audit"]["problem"]
        assert "can be written again" in vault.log_text
    check_log(vault)
