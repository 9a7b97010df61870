# SPDX-License-Identifier: Apache-2.0
"""A worker with several rings: each has threads of its own, and everything else is the guest's and the same for all."""

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import Any, Self

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from framework.guest_ram import GuestRam
from framework.split_ring import SplitRing
from framework.vault import Vault
from protocol.worker_rig import RigKey, WorkerRig, Zygote, key_id, make_state, pkcs8

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.data_plane import RINGS_MAX, DataPlane
from vmm_keystore.workers.ipc import pack

OK, NO_KEY, LIMIT = lib.VKS_STATUS_OK, lib.VKS_STATUS_NO_KEY, lib.VKS_STATUS_LIMIT
PRIVATE = ed25519.Ed25519PrivateKey.generate()
SIGNS = RigKey(key_id(1), lib.VKS_KEY_TYPE_ED25519, pkcs8(PRIVATE))
OTHER = RigKey(key_id(2), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(32))
RSA = RigKey(key_id(3), lib.VKS_KEY_TYPE_RSA_2048, pkcs8(rsa.generate_private_key(65537, 2048)))
DEPTH = 24
START_ID = 40


def public_der(private: ec.EllipticCurvePrivateKey) -> bytes:
    """Its SubjectPublicKeyInfo."""
    return private.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


@dataclass
class Guest:
    """A worker with some rings in one guest's memory."""

    rig: WorkerRig
    ram: GuestRam
    rings: list[SplitRing]
    vaults: list[Vault]

    def start(self) -> None:
        """Start all rings."""
        self.rig.share(self.ram)
        for queue, ring in enumerate(self.rings):
            self.rig.start(ring, queue=queue, start_id=START_ID + queue)


class Load(threading.Thread):
    """Keeps requests under way on one ring and checks each answer."""

    def __init__(self, vault: Vault, ring: SplitRing, key: RigKey) -> None:
        super().__init__()
        self._vault = vault
        self._ring = ring
        self._key = key
        self._stop_it = threading.Event()
        self.statuses: Counter[int] = Counter()
        self.problem: BaseException | None = None
        self._messages: dict[int, bytes] = {}
        self._number = 0

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_exc: object) -> None:
        self._stop_it.set()
        self.join()
        if self.problem:
            raise self.problem

    def wait(self, count: int, meanwhile: Callable[[], object] = lambda: None) -> None:
        """Wait for so many more answers; *meanwhile* makes room for records, where others may need much of that."""
        until = self.statuses.total() + count
        while self.statuses.total() < until and self.is_alive():
            meanwhile()
            self._stop_it.wait(0.001)
        assert self.is_alive(), self.problem

    def run(self) -> None:
        """Until it is stopped, and all are answered."""
        try:
            for _ in range(DEPTH):
                self._submit()
            while self._messages:
                self._ring.kick()
                # All before the first is sent: it takes the place of one of them.
                answered = [(self._messages.pop(head), answer) for head, answer in self._vault.collect(1, timeout_s=20)]
                for message, answer in answered:
                    self.statuses[answer.status] += 1
                    if answer.status == OK and self._key is SIGNS:
                        PRIVATE.public_key().verify(answer.data, message)
                    if not self._stop_it.is_set():
                        self._submit()
        except BaseException as error:  # noqa: BLE001 - told by whoever waits for it
            self.problem = error

    def _submit(self) -> None:
        self._number += 1
        message = f"{id(self)} {self._number}".encode()
        op, size = (lib.VKS_OP_SIGN, 64) if self._key is SIGNS else (lib.VKS_OP_MAC, 32)
        head = self._vault.submit(op, key_id=self._key.key_id, data=message, output_bytes=size)
        self._messages[head] = message


@contextmanager
def guest_of(zygote: Zygote, count: int = 2, state_fd: int | None = None) -> Iterator[Guest]:
    """A worker that may have so many rings, with all of them running."""
    with ExitStack() as stack:
        ram = stack.enter_context(GuestRam(64 << 20))
        rings = [stack.enter_context(SplitRing(ram, 64, index=queue)) for queue in range(count)]
        vaults = [
            Vault(ram, ring, slot_count=DEPTH, readable_bytes_max=4096, writable_bytes_max=4096) for ring in rings
        ]
        rig = stack.enter_context(WorkerRig(zygote, state_fd, data_plane=DataPlane(rings=count)))
        guest = Guest(rig, ram, rings, vaults)
        guest.start()
        yield guest
        assert rig.alive


@pytest.fixture
def guest(zygote: Zygote) -> Iterator[Guest]:
    """Two rings."""
    with guest_of(zygote) as guest:
        yield guest


def test_each_ring_is_served(zygote: Zygote) -> None:
    """As many as there may be, one after the other and all at once; each request is on record once."""
    with guest_of(zygote, RINGS_MAX) as guest, ExitStack() as stack:
        guest.rig.give(SIGNS)
        for vault in guest.vaults:
            answer = vault.request(lib.VKS_OP_SIGN, key_id=SIGNS.key_id, data=b"m", output_bytes=64)
            PRIVATE.public_key().verify(answer.data, b"m")
        loads = [
            stack.enter_context(Load(vault, ring, SIGNS)) for vault, ring in zip(guest.vaults, guest.rings, strict=True)
        ]
        for load in loads:
            load.wait(500)
        stack.close()
        answered = sum(load.statuses.total() for load in loads) + RINGS_MAX
        assert set().union(*(load.statuses for load in loads)) == {OK}
        records = [record for record in guest.rig.records() if record.op == lib.VKS_OP_SIGN]
        assert sum(lib.vks_audit_covered_requests(record.covered) for record in records) == answered
        numbers = [record.request_sequence for record in records]
        assert len(numbers) == len(set(numbers))
        assert {record.queue for record in records} == set(range(RINGS_MAX))
        assert [number >> lib.VKS_STATE_SEQUENCE_SHIFT for number in numbers] == [record.queue for record in records]


def test_queues_that_are_not_there(guest: Guest) -> None:
    """A ring beyond the worker's is refused, and nothing else changes."""
    for queue in (2, RINGS_MAX, 1 << 31):
        guest.rig.start(guest.rings[0], queue=queue, error=-22)
        guest.rig.ask(lib.VKS_WORKER_RING_STOP, pack("vks_worker_ring", {"queue": queue}), error=-22)
    guest.rig.give(OTHER)
    assert guest.vaults[1].request(lib.VKS_OP_MAC, key_id=OTHER.key_id, data=b"m", output_bytes=32).status == OK


def test_changes_under_load(guest: Guest) -> None:
    """Promise P6 on both rings: when the change is acknowledged no signature with the key begins any more."""
    guest.rig.give(SIGNS, OTHER)
    signed = 0

    def take() -> None:
        nonlocal signed
        signed += requests_of(guest.rig.take_records(), OK)

    with Load(guest.vaults[0], guest.rings[0], SIGNS) as first, Load(guest.vaults[1], guest.rings[1], SIGNS) as second:
        for _ in range(30):
            for load in (first, second):
                load.wait(50, take)
            guest.rig.publish(OTHER)
            take()
            before = signed
            for load in (first, second):
                load.wait(50, take)
            take()
            assert signed == before
            guest.rig.give(SIGNS, OTHER)
    signed += requests_of(guest.rig.records(), OK)
    assert set(first.statuses) | set(second.statuses) == {OK, NO_KEY}
    assert first.statuses[OK] + second.statuses[OK] == signed


def requests_of(records: list[Any], status: int) -> int:
    """How many requests these records tell of that were answered so."""
    return sum(int(lib.vks_audit_covered_requests(r.covered)) for r in records if r.status == status)


@pytest.mark.parametrize("poll_us", [0, 1000], ids=["asleep", "polling"])
def test_one_ring_stops_and_starts_under_load(guest: Guest, poll_us: int) -> None:
    """The other one goes on; nothing of the first is lost or answered twice."""
    guest.rig.poll_us = poll_us
    guest.rig.give(SIGNS)
    with Load(guest.vaults[0], guest.rings[0], SIGNS) as first, Load(guest.vaults[1], guest.rings[1], SIGNS) as second:
        for number in range(40):
            base = guest.rig.stop(1)
            first.wait(20)
            guest.rig.start(guest.rings[1], queue=1, base=base, start_id=100 + number)
            second.wait(20)
    assert set(first.statuses) | set(second.statuses) == {OK}


@pytest.mark.parametrize("poll_us", [0, 1000], ids=["asleep", "polling"])
def test_memory_is_replaced_under_load(guest: Guest, poll_us: int) -> None:
    """A table that comes anew while both rings compute, or look at it: answers land where they belong."""
    guest.rig.poll_us = poll_us
    guest.rig.give(SIGNS)
    with Load(guest.vaults[0], guest.rings[0], SIGNS) as first, Load(guest.vaults[1], guest.rings[1], SIGNS) as second:
        for _ in range(1000):
            guest.rig.share(guest.ram)
        first.wait(20)
        second.wait(20)
    assert set(first.statuses) | set(second.statuses) == {OK}


def test_a_broken_ring_is_alone(guest: Guest) -> None:
    """The other one is served, and the broken one's number is said."""
    guest.rig.give(OTHER)
    guest.rings[1].avail[1] = guest.rings[1].avail[1] + 1000 & 0xFFFF
    guest.rings[1].kick(force=True)
    broken: Any = ffi.from_buffer("struct vks_worker_ring_broken *", guest.rig.event(lib.VKS_WORKER_RING_BROKEN).body)
    assert broken.queue == 1
    for _ in range(20):
        assert guest.vaults[0].request(lib.VKS_OP_MAC, key_id=OTHER.key_id, data=b"m", output_bytes=32).status == OK


def test_budget_is_one(guest: Guest) -> None:
    """Exactly so many operations in all, whichever ring they come by."""
    key = OTHER.with_(ops_max=1000, budget=1)
    guest.rig.open_budget(key, leased=1000)
    guest.rig.give(key)
    with Load(guest.vaults[0], guest.rings[0], key) as first, Load(guest.vaults[1], guest.rings[1], key) as second:
        for load in (first, second):
            while load.statuses[LIMIT] < 100:
                load.wait(10, lambda: len(guest.rig.take_records()))
    assert first.statuses[OK] + second.statuses[OK] == 1000
    assert guest.rig.used(key) == 1000


def test_public_halves_on_both(guest: Guest) -> None:
    """Asked for by both at once when nobody has made them yet: the key's, every time."""
    privates = [ec.generate_private_key(ec.SECP256R1()) for _ in range(DEPTH // 2)]
    for round_ in range(10):
        keys = [
            RigKey(key_id(100 + round_ * len(privates) + number), lib.VKS_KEY_TYPE_EC_P256, pkcs8(private))
            for number, private in enumerate(privates)
        ]
        guest.rig.give(*keys)
        asked = [
            {vault.submit(lib.VKS_OP_PUBLIC, key_id=key.key_id, output_bytes=128): key for key in keys}
            for vault in guest.vaults
        ]
        for ring in guest.rings:
            ring.kick(force=True)
        for vault, heads in zip(guest.vaults, asked, strict=True):
            answers = {heads[head].key_id: answer.data for head, answer in vault.collect(len(keys))}
            assert answers == {key.key_id: public_der(private) for key, private in zip(keys, privates, strict=True)}


def test_slow_ones_of_both(guest: Guest) -> None:
    """RSA on each ring at the same time, beside quick ones: every answer comes to its own ring."""
    guest.rig.give(RSA, OTHER)
    for vault, ring in zip(guest.vaults, guest.rings, strict=True):
        for _ in range(DEPTH // 2):
            vault.submit(lib.VKS_OP_SIGN, key_id=RSA.key_id, data=b"m", output_bytes=256)
            vault.submit(lib.VKS_OP_MAC, key_id=OTHER.key_id, data=b"m", output_bytes=32)
        ring.kick(force=True)
    for vault in guest.vaults:
        answers = vault.collect(2 * (DEPTH // 2), timeout_s=30)
        assert {answer.status for _head, answer in answers} == {OK}


def test_keys_are_waited_for_on_both(guest: Guest) -> None:
    """One list names what both rings wait for, or one after the other; both go on."""
    guest.rig.publish(OTHER, SIGNS)
    guest.vaults[0].submit(lib.VKS_OP_MAC, key_id=OTHER.key_id, data=b"m", output_bytes=32)
    guest.vaults[1].submit(lib.VKS_OP_SIGN, key_id=SIGNS.key_id, data=b"m", output_bytes=64)
    for ring in guest.rings:
        ring.kick(force=True)
    waited_for = {OTHER.key_id: OTHER, SIGNS.key_id: SIGNS}
    while waited_for:
        for id_, _version in guest.rig.wanted():
            guest.rig.fill(waited_for.pop(id_))
        guest.rig.note_filled()
    for vault in guest.vaults:
        [(_head, answer)] = vault.collect(1)
        assert answer.status == OK


def test_worker_dies_under_load(zygote: Zygote) -> None:
    """The next one goes on with both rings: each request is answered once, and by the right ring."""
    state_fd = make_state()
    with ExitStack() as stack:
        ram = stack.enter_context(GuestRam(64 << 20))
        rings = [stack.enter_context(SplitRing(ram, 64, index=queue)) for queue in range(2)]
        vaults = [
            Vault(ram, ring, slot_count=DEPTH, readable_bytes_max=4096, writable_bytes_max=4096) for ring in rings
        ]
        loads = [Load(vault, ring, SIGNS) for vault, ring in zip(vaults, rings, strict=True)]
        started = False
        for _ in range(15):
            with WorkerRig(zygote, state_fd, data_plane=DataPlane(rings=2)) as rig:
                guest = Guest(rig, ram, rings, vaults)
                rig.give(SIGNS)
                guest.start()
                for load in loads:
                    if not started:
                        stack.enter_context(load)
                started = True
                for load in loads:
                    load.wait(100)
                rig.kill()
                rig.wait_ended()
        rig = stack.enter_context(WorkerRig(zygote, state_fd, data_plane=DataPlane(rings=2)))
        rig.give(SIGNS)
        Guest(rig, ram, rings, vaults).start()
        for load in loads:
            load.wait(100)
            load.__exit__()
        assert set().union(*(load.statuses for load in loads)) == {OK}
        stack.pop_all().close()
