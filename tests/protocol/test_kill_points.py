# SPDX-License-Identifier: Apache-2.0
"""Promise P5 at every named instant: SIGKILL there, and each request still gets one answer, right and on record."""

import random
import select
from collections.abc import Iterator

import pytest
from cryptography.hazmat.primitives.asymmetric import ed25519, rsa
from framework.checked_work import Work, ed25519_work, gcm_work, mac_work, rsa_work
from framework.guest_ram import GuestRam
from framework.kill_points import INSTALLED, POINTS, PROGRAM, kill_points_libexec
from framework.latency_rows import requests_counted
from framework.split_ring import SplitRing
from framework.vault import Vault
from protocol.dying_guest import FIRST_INDEX, DyingGuest, dying_guest
from protocol.worker_rig import RigKey, WorkerRig, Zygote, key_id, pkcs8

from vmm_keystore._vks import lib
from vmm_keystore.workers import programs
from vmm_keystore.workers.data_plane import DataPlane

ONE_BY_ONE = DataPlane(accelerators=False)
"""Who dies with whom in a group is test_worker_batches' to say."""
HITS = 20
BATCH = 12
ED25519_PRIVATE = ed25519.Ed25519PrivateKey.generate()
RSA_PRIVATE = rsa.generate_private_key(65537, 2048)
MAC = RigKey(key_id(1), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(range(32)), ops_max=1 << 40, budget=1)
ED25519 = RigKey(key_id(2), lib.VKS_KEY_TYPE_ED25519, pkcs8(ED25519_PRIVATE))
AES = RigKey(key_id(3), lib.VKS_KEY_TYPE_AES_256, bytes(range(32, 64)))
RSA = RigKey(key_id(4), lib.VKS_KEY_TYPE_RSA_2048, pkcs8(RSA_PRIVATE), ops_max=1 << 40, budget=2)
KEYS = (MAC, ED25519, AES, RSA)
FAST = (
    mac_work(MAC.key_id, MAC.material),
    ed25519_work(ED25519.key_id, ED25519_PRIVATE.public_key()),
    gcm_work(AES.key_id, AES.material),
)
SLOW = rsa_work(RSA.key_id, RSA_PRIVATE.public_key())

# Where one request dies, and which of its runs are on record afterwards.
RUNS = {
    "TAKEN": [1],
    "DECIDED": [1],
    "CHARGED": [1],
    "RAN": [2],
    "RECORDED": [1, 2],
    "MID_RESULT": [1, 2],
    "BATCH_HEAD": [1, 2],
    "USED_ELEMENT": [1, 2],
    "USED_IDX": [1],
    "CLEARED": [1],
    "WRITTEN_DOWN": [1],
}
# Its answer is out, and it is in no histogram yet.
TIME_IS_LOST = {"USED_IDX", "CLEARED", "WRITTEN_DOWN"}
# Only a successor gets there: where its predecessor has to die.
IN_THE_REPAIR = {"REPAIR": "USED_IDX", "DEATH_COUNTED": "RAN", "RESUMED": "RECORDED"}


@pytest.fixture(scope="module")
def killing_zygote() -> Iterator[Zygote]:
    """Give the zygote of the test build."""
    with kill_points_libexec() as libexec, pytest.MonkeyPatch.context() as patch:
        patch.setattr(programs, "LIBEXEC", libexec)
        running = Zygote()
        with running:
            yield running


@pytest.fixture
def guest(killing_zygote: Zygote) -> Iterator[DyingGuest]:
    """Give a ring whose workers die."""
    with dying_guest(killing_zygote, KEYS, ONE_BY_ONE) as running:
        yield running


def fast_batch(count: int = BATCH) -> list[Work]:
    return [FAST[i % len(FAST)] for i in range(count)]


def test_shipped_program_has_no_kill_points() -> None:
    """The test build has them, what is installed has not even their code."""
    assert b"kill_point" in PROGRAM.read_bytes()
    for program in INSTALLED.iterdir():
        assert b"kill_point" not in program.read_bytes(), program


@pytest.mark.parametrize("point", RUNS)
def test_death_at(guest: DyingGuest, point: str) -> None:
    """Exactly one request of the batch has died, and its runs are those that reached the record."""
    for hit in range(HITS):
        guest.points.arm(point, passes=hit % BATCH)
        guest.run(fast_batch())
        attempts = guest.attempts()
        assert len(attempts) == BATCH
        assert sorted(attempts.values()) == sorted([[1]] * (BATCH - 1) + [RUNS[point]])
    assert guest.points.hits == guest.deaths == HITS
    # Nothing is counted twice, and what a death leaves out is the one request that was answered last.
    assert requests_counted(guest.rig.state) == HITS * (BATCH - (point in TIME_IS_LOST))


@pytest.mark.parametrize("point", RUNS)
def test_death_during_the_redo(guest: DyingGuest, point: str) -> None:
    """The successor dies as well, over another request than its predecessor."""
    for hit in range(HITS):
        guest.points.arm("RECORDED", passes=hit % 6, then=point, then_passes=1 + hit % 5)
        guest.run(fast_batch())
        assert len(guest.attempts()) == BATCH
    assert guest.points.hits == guest.deaths == 2 * HITS


@pytest.mark.parametrize(("point", "first"), IN_THE_REPAIR.items())
def test_death_in_the_repair(guest: DyingGuest, point: str, first: str) -> None:
    """A successor that dies before it served leaves what it found."""
    for hit in range(HITS):
        guest.points.arm(first, passes=hit % BATCH, then=point)
        guest.run(fast_batch())
        assert len(guest.attempts()) == BATCH
    assert guest.points.hits == guest.deaths == 2 * HITS


def test_death_on_the_slow_lane(guest: DyingGuest) -> None:
    """Each of the slow ones in its turn, with fast ones around them; then again in the redo."""
    for hit in range(HITS):
        guest.points.arm("SLOW_RUNNING", passes=hit % 4)
        guest.run([*fast_batch(4), SLOW, SLOW, *fast_batch(4), SLOW, SLOW])
        assert len(guest.attempts()) == 12
    for _ in range(HITS):
        guest.points.arm("TAKEN", then="SLOW_RUNNING")
        guest.run([SLOW, SLOW, *fast_batch(4)])
        assert len(guest.attempts()) == 6
    assert guest.points.hits == guest.deaths == 3 * HITS


def test_random_deaths_under_load(guest: DyingGuest) -> None:
    """SIGKILL whenever, slow and fast mixed, as many under way as the ring holds."""
    chance = random.Random(3)  # noqa: S311 - the same at each run
    for _ in range(60):
        for _ in range(50):
            guest.ledger.submit(SLOW if chance.random() < 0.1 else chance.choice(FAST))
        guest.ring.kick(force=True)
        select.select([], [], [], chance.random() * 0.01)
        guest.rig.kill()
        guest.run([])
        attempts = guest.attempts()
        assert len(attempts) == 50
        assert max(len(runs) for runs in attempts.values()) <= 2
    assert guest.deaths == 60


def test_death_while_a_table_is_cleared(killing_zygote: Zygote) -> None:
    """A front-end's new ring: the successor clears again and takes nothing of the old one over."""
    for _ in range(HITS):
        with GuestRam(8 << 20) as ram, SplitRing(ram, 128) as ring:
            ring.set_avail_idx(FIRST_INDEX)
            ring.last_used = ring.used_head[1] = FIRST_INDEX
            guest = DyingGuest(killing_zygote, ram, ring, KEYS, ONE_BY_ONE)
            guest.run(fast_batch(5))
            guest.attempts()
            ring.reset()
            guest.rig.stop()
            guest.points.arm("RESET")
            guest.rig.post_start(ring, base=0, start_id=8)
            guest.rig.wait_ended()
            # As keystored does: no worker has begun with this start, so it starts where the front-end said.
            successor = WorkerRig(killing_zygote, guest.rig.state_fd)
            guest.rig.close()
            successor.share(ram)
            successor.give(MAC)
            assert lib.vks_state_queue(successor.state, 0).start_id != 8
            successor.start(ring, base=0, start_id=8)
            vault = Vault(ram, ring)
            answer = vault.request(lib.VKS_OP_MAC, key_id=MAC.key_id, data=b"m", output_bytes=32)
            assert answer.status == lib.VKS_STATUS_OK
            guest.points.__exit__()
            successor.close()


@pytest.mark.parametrize("slow", [False, True])
def test_request_that_kills_is_set_aside(guest: DyingGuest, *, slow: bool) -> None:
    """Two workers die over it, the third answers INTERNAL without running it; everybody else is served."""
    killer = SLOW if slow else FAST[0]
    others = [FAST[2]] * 5
    guest.points.poison(killer.op)
    guest.run([*others, killer, *others], refused=(lib.VKS_STATUS_INTERNAL,))
    guest.points.disarm()
    assert guest.deaths == 2
    assert guest.ledger.statuses[lib.VKS_STATUS_INTERNAL] == 1
    aside = [record for record in guest.records if record.flags & lib.VKS_AUDIT_F_SET_ASIDE]
    assert [(record.status, record.op, record.attempt, bytes(record.key_id)) for record in aside] == [
        (lib.VKS_STATUS_INTERNAL, killer.op, 3, killer.key_id)
    ]
    event = guest.rig.event(lib.VKS_WORKER_SET_ASIDE)
    assert aside[0].request_sequence.to_bytes(8, "little") in event.body
    guest.attempts()
    guest.run(fast_batch())
    assert guest.deaths == 2


def test_death_while_it_is_set_aside(guest: DyingGuest) -> None:
    """Even looking at it kills: the fourth worker gives it back unread."""
    guest.points.poison(FAST[0].op)
    guest.ledger.submit(FAST[0])
    guest.ring.kick(force=True)
    guest.replace()
    guest.points.arm("SET_ASIDE")
    guest.replace()
    guest.replace()
    head, used_bytes = guest.ring.wait(1)[0]
    assert used_bytes == 0
    assert head in guest.ledger.asked
    records = guest.rig.records()
    assert [(record.status, record.op, record.attempt) for record in records] == [(lib.VKS_STATUS_INTERNAL, 0, 4)]


def test_every_point_is_reached_by_a_test() -> None:
    """A new point needs a test that dies there."""
    of_orders = {"ORDERED"}  # test_worker_orders.py
    assert set(POINTS) == {*RUNS, *IN_THE_REPAIR, *of_orders, "SLOW_RUNNING", "RESET", "SET_ASIDE"}
