# SPDX-License-Identifier: Apache-2.0
"""MUST-50 whoever is killed: an order that was answered was carried out once, and none was carried out twice."""

import json
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import pytest
from framework.keystored import Keystored
from framework.own_keys import allow, generate, generate_input
from framework.patience import wait_for
from framework.processes import kill
from framework.ring_guest import RingGuest, ring_guest, ring_guests
from framework.vault import Answer

from vmm_keystore._vks import lib

pytestmark = pytest.mark.alone

OK = lib.VKS_STATUS_OK
ROUNDS = 6
ANSWER_WAIT_S = 60.0


@dataclass
class Owned:
    """What the guest was told: versions by key id, of keys that it has and of those that it destroyed."""

    versions: dict[bytes, int] = field(default_factory=dict)
    labels: dict[bytes, str] = field(default_factory=dict)
    destroyed: set[bytes] = field(default_factory=set)
    orders: int = 0


class Owner(threading.Thread):
    """Orders one thing after the other by one ring, at random, and notes every answer."""

    def __init__(self, guest: RingGuest, number: int) -> None:
        super().__init__()
        self._guest = guest
        self._number = number
        self._random = random.Random(7 + number)  # noqa: S311  no secret
        self._over = threading.Event()
        self.owned = Owned()
        self.failures: list[Exception] = []

    def run(self) -> None:
        """Until it is over, or something fails."""
        try:
            while not self._over.is_set():
                self.order()
        except Exception as error:  # noqa: BLE001  shown by the test itself
            self.failures.append(error)

    def order(self) -> None:
        """The next one; each must succeed, however many die over it."""
        owned, number = self.owned, self.owned.orders
        owned.orders += 1
        choice = self._random.random()
        if len(owned.versions) < 2 or choice < 0.5:
            label = f"k{self._number}-{number}"
            answer = self._ask(lib.VKS_OP_GENERATE, data=generate_input(label), output_bytes=16)
            owned.versions[answer.data] = 1
            owned.labels[answer.data] = label
            return
        key_id = self._random.choice(list(owned.versions))
        if choice < 0.75 and owned.versions[key_id] < 10:
            answer = self._ask(lib.VKS_OP_ROTATE, key_id=key_id)
            assert answer.key_version == owned.versions[key_id] + 1
            owned.versions[key_id] += 1
        else:
            self._ask(lib.VKS_OP_DESTROY, key_id=key_id)
            del owned.versions[key_id]
            owned.destroyed.add(key_id)

    def wait_for_more(self, count: int) -> None:
        """Until so many more were answered, or something failed."""
        reached = self.owned.orders + count
        wait_for(lambda: self.owned.orders > reached or self.failures)

    def finish(self) -> Owned:
        """After the order that is under way."""
        self._over.set()
        self.join(ANSWER_WAIT_S)
        return self.owned

    def _ask(self, op: int, **fields: object) -> Answer:
        answer = self._guest.vault.request(op, timeout_s=ANSWER_WAIT_S, **fields)
        assert answer.status == OK, f"op {op}: status 0x{answer.status:x}"
        return answer


@contextmanager
def guest_of(rings: int) -> Iterator[tuple[Keystored, list[Owner]]]:
    """A guest that may have many keys of its own and orders by each of its rings."""
    with Keystored(arguments=("--rings", str(rings))) as vault:
        socket = vault.add_guest("g")
        allow(vault, "g", 1000)
        with ring_guests(socket, rings) as guests:
            owners = [Owner(guest, number) for number, guest in enumerate(guests)]
            for owner in owners:
                owner.start()
            try:
                yield vault, owners
            finally:
                for owner in owners:
                    owner.finish()


def kill_worker(vault: Keystored) -> None:
    """The guest's, if it has one at the moment."""
    pid = vault.api.get("/guests/g")["worker"]["pid"]
    if pid:
        kill(pid)


def kill_keystored(vault: Keystored) -> None:
    """It and start the next one."""
    vault.kill()
    vault.start()


def kill_both(vault: Keystored) -> None:
    """Both, the worker that the next keystored has made among them."""
    vault.kill()
    vault.start()
    kill_worker(vault)


@pytest.mark.parametrize("rings", [1, 2])
@pytest.mark.parametrize("death", [kill_worker, kill_keystored, kill_both], ids=["worker", "keystored", "both"])
@pytest.mark.timeout(300)
def test_each_order_is_carried_out_once(death: Callable[[Keystored], None], rings: int) -> None:
    """What the guest was told of is there, in just as many versions, and nothing else."""
    pauses = random.Random(11)  # noqa: S311  no secret
    with guest_of(rings) as (vault, owners):
        for _ in range(ROUNDS):
            time.sleep(pauses.uniform(0.1, 0.6))
            death(vault)
            for owner in owners:
                owner.wait_for_more(2)
        all_owned = [owner.finish() for owner in owners]
        assert [owner.failures for owner in owners] == [[]] * rings
        assert any(owned.destroyed for owned in all_owned), "nothing was destroyed: the test says nothing of it"
        versions = {key_id: version for owned in all_owned for key_id, version in owned.versions.items()}
        labels = {key_id: label for owned in all_owned for key_id, label in owned.labels.items()}
        found = {key["id"]: key for key in vault.facts("key", "list", "g:*")}
        assert found.keys() == {key_id.hex() for key_id in versions}
        for key_id, version in versions.items():
            key = found[key_id.hex()]
            assert (key["label"], key["current_version"], len(key["versions"])) == (
                f"g:{labels[key_id]}",
                version,
                version,
            )
        lines = map(json.loads, vault.cli("audit", "export").stdout.splitlines())
        assert sum(line.get("action") == "key-generate" for line in lines) == len(labels)
        assert vault.cli("audit", "verify").stdout.endswith("the chain holds\n")


def test_crash_of_the_host(vault: Keystored) -> None:
    """State memory is gone, and requests are numbered anew: the first one is not taken for the last life's first."""
    socket = vault.add_guest("g")
    allow(vault, "g", 10)
    made = []
    for label in ("a", "b", "c"):
        with ring_guest(socket) as guest:
            made.append(generate(guest, label))
        vault.kill_all()
        for path in vault.runtime_dir.iterdir():
            path.unlink()
        vault.start()
    assert {answer.sequence for answer in made} == {1}
    assert [answer.status for answer in made] == [OK] * 3
    assert [key["label"] for key in vault.facts("key", "list")] == ["g:a", "g:b", "g:c"]
    assert {key["id"] for key in vault.facts("key", "list")} == {answer.data.hex() for answer in made}
