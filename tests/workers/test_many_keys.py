# SPDX-License-Identifier: Apache-2.0
"""A guest that is granted more keys than its worker has room for: all are usable, and nobody notices where they are."""

import contextlib
import os
import random
import signal
import sqlite3
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import load_der_public_key
from framework import locked_memory
from framework.keystored import PROGRAM, Keystored
from framework.patience import wait_for
from framework.processes import descendants, kill
from framework.ring_guest import RingGuest, ring_guest
from framework.vault import Answer

from vmm_keystore._vks import lib
from vmm_keystore.workers.provision import HELD_MAX

OK, NO_KEY, UNAVAILABLE = lib.VKS_STATUS_OK, lib.VKS_STATUS_NO_KEY, lib.VKS_STATUS_UNAVAILABLE
LOCKED_BYTES = 3 << 20
"""Leaves an arena of 1 MiB: room for some hundred keys."""
SIGNING, SEALING = HELD_MAX + 240, 24
DEPTH = 48
BYTES_MAX = 4096


@dataclass
class Place:
    """A guest with many keys, connected."""

    vault: Keystored
    guest: RingGuest
    ids: dict[str, bytes]

    def worker(self) -> Any:
        """What keystored says of the guest's worker."""
        return self.vault.api.get("/guests/g")["worker"]

    def custodian_pid(self) -> int:
        """The custodian's process."""
        [pid] = [process.pid for process in descendants(self.vault.pid) if process.role == "vks-custodian"]
        return pid

    def many(self, op: int, requests: Sequence[tuple[bytes, bytes]]) -> list[Answer]:
        """One request each, many at a time, answers in their order."""
        answers: dict[int, Answer] = {}
        waiting: dict[int, int] = {}
        for number, (key_id, data) in enumerate(requests):
            if len(waiting) == DEPTH:
                self._collect(waiting, answers)
            head = self.guest.vault.submit(op, key_id=key_id, data=data, output_bytes=512)
            waiting[head] = number
        while waiting:
            self._collect(waiting, answers)
        return [answers[number] for number in range(len(requests))]

    def _collect(self, waiting: dict[int, int], answers: dict[int, Answer]) -> None:
        self.guest.ring.kick(force=True)
        for head, answer in self.guest.vault.collect(1, timeout_s=60):
            answers[waiting.pop(head)] = answer

    def turn_over(self, *but: str) -> None:
        """Use other keys than these until each that is not used has gone."""
        others = [(self.ids[label], b"m") for label in self.ids if label.startswith("s") and label not in but]
        until = self.worker()["keys_filled"] + 2 * len(self.ids)
        while self.worker()["keys_filled"] < until:
            assert {answer.status for answer in self.many(lib.VKS_OP_SIGN, others)} == {OK}

    def submit(self, key_id: bytes) -> int:
        """One signature, without waiting."""
        head = self.guest.vault.submit(lib.VKS_OP_SIGN, key_id=key_id, data=b"m", output_bytes=64)
        self.guest.ring.kick(force=True)
        return head

    def collect(self) -> tuple[int, int]:
        """The next answer: which, and its status."""
        [(head, answer)] = self.guest.vault.collect(1, timeout_s=60)
        return head, answer.status

    def wait_for_absent(self) -> tuple[bytes, int]:
        """Ask for a key that is not in the worker, while nobody can bring it; give its id and the request."""
        for label in [label for label in self.ids if label.startswith("s")]:
            head = self.submit(self.ids[label])
            assert self.hot_signs()
            if head in self.guest.vault.busy:
                return self.ids[label], head
        raise AssertionError("every key is in the worker")

    def hot_signs(self) -> bool:
        """Whether the key that is used all the time does; whatever else is answered is taken."""
        hot = self.submit(self.ids["hot"])
        answered: dict[int, int] = {}
        while hot not in answered:
            answered |= {head: answer.status for head, answer in self.guest.vault.collect(1)}
        return bool(answered[hot] == OK)


@contextmanager
def place() -> Iterator[Place]:
    """Start a keystored that may lock little memory, with a guest."""
    labels = {"hot": "ed25519"}
    labels |= {f"s{number}": "ed25519" for number in range(SIGNING)}
    labels |= {f"a{number}": "aes-256" for number in range(SEALING)}
    program = (sys.executable, locked_memory.__file__, str(LOCKED_BYTES), str(PROGRAM))
    with Keystored(program=program) as vault:
        ops = {"ed25519": ["sign"], "aes-256": ["encrypt", "decrypt"]}
        vault.api.post("/apply", {"declaration": {"keys": {label: {"type": type_} for label, type_ in labels.items()}}})
        grants = [{"key": label, "ops": ops[type_]} for label, type_ in labels.items()]
        socket = vault.folder / "g.sock"
        vault.api.post("/apply", {"declaration": {"guests": {"g": {"socket": str(socket), "grants": grants}}}})
        with ring_guest(socket, slot_count=DEPTH + 2, request_bytes_max=BYTES_MAX) as guest:
            yield Place(vault, guest, {entry.label: entry.key_id for entry in guest.list_keys()})


@pytest.fixture(scope="module")
def shared_place() -> Iterator[Place]:
    with place() as found:
        assert len(found.ids) == SIGNING + SEALING + 1
        yield found


@pytest.fixture
def stopped_custodian(shared_place: Place) -> Iterator[int]:
    """The custodian, stopped by a signal; goes on afterwards."""
    pid = shared_place.custodian_pid()
    os.kill(pid, signal.SIGSTOP)
    try:
        yield pid
    finally:
        go_on(pid)


def go_on(pid: int) -> None:
    """Continue a custodian, unless keystored has lost patience with it: then there is another one."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGCONT)


def test_every_key_signs(shared_place: Place) -> None:
    """Twice, in no order, many at a time; each with its own key."""
    found, chance = shared_place, random.Random(7)  # noqa: S311 - the same at each run
    labels = [label for label in found.ids if label.startswith("s")]
    publics = {}
    for label, answer in zip(
        labels, found.many(lib.VKS_OP_PUBLIC, [(found.ids[name], b"") for name in labels]), strict=True
    ):
        assert answer.status == OK
        public = load_der_public_key(answer.data)
        assert isinstance(public, Ed25519PublicKey)
        publics[label] = public
    for turn in range(2):
        chance.shuffle(labels)
        messages = [f"{turn} {label}".encode() for label in labels]
        answers = found.many(lib.VKS_OP_SIGN, [(found.ids[name], m) for name, m in zip(labels, messages, strict=True)])
        for label, message, answer in zip(labels, messages, answers, strict=True):
            assert answer.status == OK
            publics[label].verify(answer.data, message)
    worker = found.worker()
    assert (worker["problem"], worker["replaced"]) == ("", 0)
    assert found.vault.api.get("/audit/verify")["ok"]


def test_no_nonce_twice(shared_place: Place) -> None:
    """A key that was given up and came again encrypts under another lease; what it encrypted before it decrypts."""
    found = shared_place
    sealing = [found.ids[f"a{number}"] for number in range(SEALING)]
    sealed: list[list[bytes]] = [[] for _ in sealing]
    for _ in range(3):
        answers = found.many(lib.VKS_OP_ENCRYPT, [(key_id, b"plain") for key_id in sealing])
        for texts, answer in zip(sealed, answers, strict=True):
            assert answer.status == OK
            texts.append(answer.data)
        found.turn_over()
    for texts in sealed:
        assert len({text[:12] for text in texts}) == len(texts), "a nonce twice"
        assert len({text[:4] for text in texts}) == len(texts), "it never left"
    every = [(key_id, text) for key_id, texts in zip(sealing, sealed, strict=True) for text in texts]
    assert {answer.data for answer in found.many(lib.VKS_OP_DECRYPT, every)} == {b"plain"}


def test_hot_key_stays(shared_place: Place, request: pytest.FixtureRequest) -> None:
    """Used now and then while all others come and go, it is there when nobody can bring it."""
    found = shared_place
    for number in range(0, SIGNING, 8):
        part = [(found.ids[f"s{n}"], b"m") for n in range(number, min(number + 8, SIGNING))]
        assert {answer.status for answer in found.many(lib.VKS_OP_SIGN, part)} == {OK}
        assert found.hot_signs()
    pid = request.getfixturevalue("stopped_custodian")
    _key_id, waiting = found.wait_for_absent()
    assert [found.hot_signs() for _ in range(20)] == [True] * 20, "the ring waits for a key"
    go_on(pid)
    assert found.collect() == (waiting, OK)


def test_revoked_while_it_is_waited_for(shared_place: Place, stopped_custodian: int) -> None:
    """Promise P6: the answer to the change does not wait for the custodian, and the key does not come any more."""
    found = shared_place
    key_id, waiting = found.wait_for_absent()
    [label] = [label for label, known in found.ids.items() if known == key_id]
    found.vault.api.revoke("g", label)
    assert found.collect() == (waiting, NO_KEY)
    go_on(stopped_custodian)
    assert found.guest.sign(key_id, b"m").status == NO_KEY
    found.vault.api.grant("g", label, ["sign"])
    assert found.guest.sign(key_id, b"m").status == OK


def test_custodian_dies_while_it_is_waited_for(shared_place: Place, stopped_custodian: int) -> None:
    """The next one brings it."""
    found = shared_place
    _key_id, waiting = found.wait_for_absent()
    kill(stopped_custodian)
    assert found.collect() == (waiting, OK)


def test_worker_dies_while_it_is_waited_for(shared_place: Place, stopped_custodian: int) -> None:
    """The standby asks for it anew."""
    found = shared_place
    _key_id, waiting = found.wait_for_absent()
    before = found.worker()
    kill(before["pid"])
    wait_for(lambda: found.worker()["pid"] not in {None, before["pid"]})
    go_on(stopped_custodian)
    assert found.collect() == (waiting, OK)
    assert found.worker()["replaced"] == before["replaced"] + 1


def test_damaged_blob(shared_place: Place) -> None:
    """Refused as unavailable, told of once, and no other key suffers."""
    found = shared_place
    with sqlite3.connect(found.vault.state_dir / "keystore.db") as database:
        [(before,)] = database.execute(
            "SELECT sealed FROM key_versions JOIN keys ON keys.id = key_versions.key WHERE label = 's3'"
        )
        damage(database, before[:-1] + bytes([before[-1] ^ 1]))
    try:
        found.turn_over("s3")
        pairs = [(found.ids[f"s{number}"], b"m") for number in (2, 3, 4)]
        assert [answer.status for answer in found.many(lib.VKS_OP_SIGN, pairs)] == [OK, UNAVAILABLE, OK]
        assert found.guest.sign(found.ids["s3"], b"m").status == UNAVAILABLE
        told = [line for line in found.vault.log_text.splitlines() if "a key that it asks for" in line]
        assert len(told) == 1
        assert found.ids["s3"].hex() in told[0]
    finally:
        with sqlite3.connect(found.vault.state_dir / "keystore.db") as database:
            damage(database, before)
    wait_for(lambda: found.guest.sign(found.ids["s3"], b"m").status == OK)


def damage(database: sqlite3.Connection, blob: bytes) -> None:
    """Put another blob in the place of one key's."""
    database.execute("UPDATE key_versions SET sealed = ? WHERE key = (SELECT id FROM keys WHERE label = 's3')", (blob,))
