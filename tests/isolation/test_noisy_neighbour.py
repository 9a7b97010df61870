# SPDX-License-Identifier: Apache-2.0
"""Promise P3: one guest floods, four others work, and keystored answers.

**Statistic.** Rounds in which the four work alone take turns with rounds in which the fifth floods. Of each round a
victim's throughput and median latency are compared with the ones that it had alone just before; what is held to the
promise is the median over victims and rounds. With a fifth guest at work a fair share is 4/5 of what there was; a
victim keeps 0.8 of that. The four never ask for more than one operation at a time each: who floods takes what it can.
A machine that does something else meanwhile gets ``ATTEMPTS``; a neighbour that does hurt, hurts in each of them.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from statistics import median

import pytest
from framework.frontend import QEMU_7_2, FrontEnd, Msg
from framework.guest_ram import GuestRam
from framework.keystored import Keystored
from framework.ring_guest import RingGuest
from framework.ring_load import RingLoad, tell_event_idx
from framework.split_ring import SplitRing
from framework.vault import Vault

from vmm_keystore._vks import lib

pytestmark = pytest.mark.alone

VICTIMS = ("one", "two", "three", "four")
ROUNDS = 5
ROUND_MS = 400
SHARE_MIN = 0.8 * 4 / 5
SLOWER_MAX = 2.0
ANSWER_S_MAX = 0.05
ASKED = 25
ATTEMPTS = 3
RUN_MS = 60_000
MIB = 1 << 20


@contextmanager
def working_guest(path: Path, slots: int, slot_bytes: int = 4096) -> Iterator[RingGuest]:
    """Connect a guest that has room for so many requests of that size."""
    ram_bytes = slots * (2 * slot_bytes + (20 << 10)) + (8 << 20)
    with (
        GuestRam(ram_bytes // 4096 * 4096) as ram,
        SplitRing(ram, 256) as ring,
        FrontEnd.connect(path, ram) as frontend,
    ):
        vault = Vault(
            ram, ring, slot_count=slots, readable_bytes_max=slot_bytes, writable_bytes_max=max(16384, slot_bytes)
        )
        frontend.negotiate()
        frontend.start(ring)
        tell_event_idx(vault, ring)
        yield RingGuest(frontend, vault, ring)


@dataclass(frozen=True, slots=True)
class Place:
    """The daemon, the four at work, and where the fifth connects."""

    vault: Keystored
    victims: list[RingLoad]
    flooder: Path

    def work(self) -> list[tuple[float, float]]:
        """Let the four work; operations a second and median latency of each."""
        started = [victim.start(1, ROUND_MS) for victim in self.victims]
        samples = [victim.finish(process) for victim, process in zip(self.victims, started, strict=True)]
        return [(sample.ops_per_s, sample.p50_us) for sample in samples]


@pytest.fixture(scope="module")
def place() -> Iterator[Place]:
    with Keystored() as vault, ExitStack() as stack:
        api = vault.api
        flooder = vault.add_guest("flooder")
        for label, key_type, op in (("rsa", "rsa-4096", "sign"), ("aes", "aes-256", "encrypt")):
            api.generate(label, key_type)
            api.grant("flooder", label, [op])
        victims = []
        for name in VICTIMS:
            path = vault.add_guest(name)
            api.generate(name, "ec-p256")
            api.grant(name, name, ["sign"])
            guest = stack.enter_context(working_guest(path, 1))
            victims.append(RingLoad(guest, lib.VKS_OP_SIGN, output_bytes=64, key_id=guest.key_id(name), data=bytes(32)))
        place = Place(vault, victims, flooder)
        place.work()
        yield place


Flood = Callable[[Place], AbstractContextManager[None]]


@dataclass(frozen=True, slots=True)
class Requests:
    """What to flood with; without a key, with the id of none."""

    key: str
    op: int
    input_bytes: int
    output_bytes: int
    depth: int = 100


@contextmanager
def requests(place: Place, kind: Requests) -> Iterator[None]:
    """As many requests of one kind as a program can send."""
    with working_guest(place.flooder, kind.depth, kind.input_bytes + 4096) as guest:
        key_id = guest.key_id(kind.key) if kind.key else os.urandom(16)
        data = bytes(kind.input_bytes)
        load = RingLoad(guest, kind.op, output_bytes=kind.output_bytes, key_id=key_id, data=data)
        process = load.start(kind.depth, RUN_MS, status=lib.VKS_STATUS_OK if kind.key else lib.VKS_STATUS_NO_KEY)
        try:
            yield
            assert process.poll() is None, "the flood ended early"
        finally:
            process.kill()
            process.communicate()


@contextmanager
def repeating(action: Callable[[], None]) -> Iterator[None]:
    """Do something over and over on a thread, a little at a time: the interpreter is shared."""
    stop = threading.Event()

    def run() -> None:
        while not stop.wait(0.0002):
            action()

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


@contextmanager
def kicks(place: Place) -> Iterator[None]:
    """Kicks without a request behind them."""
    with working_guest(place.flooder, 1) as guest:

        def kick() -> None:
            for _ in range(500):
                os.eventfd_write(guest.ring.kick_fd, 1)

        with repeating(kick):
            yield


@contextmanager
def broken_rings(place: Place) -> Iterator[None]:
    """A ring that is broken as soon as it runs, and started anew."""
    with working_guest(place.flooder, 1) as guest:
        frontend, ring = guest.frontend, guest.ring

        def break_ring() -> None:
            ring.set_avail_idx(ring.avail_idx + 5000)
            ring.kick(force=True)
            frontend.stop_ring(ring)
            ring.reset()
            frontend.start_ring(ring)

        with repeating(break_ring):
            yield


@contextmanager
def connections(place: Place) -> Iterator[None]:
    """Connections that negotiate, say something wrong and go."""

    def connect() -> None:
        with GuestRam(1 << 20) as ram, FrontEnd.connect(place.flooder, ram, QEMU_7_2) as frontend:
            frontend.negotiate()
            frontend.send(Msg.SET_VRING_BASE, bytes(3))

    with repeating(connect):
        yield


FLOODS: dict[str, Flood] = {
    "small requests": lambda place: requests(place, Requests("aes", lib.VKS_OP_ENCRYPT, 64, 92)),
    "largest requests": lambda place: requests(place, Requests("aes", lib.VKS_OP_ENCRYPT, MIB, MIB + 28, depth=24)),
    "rsa-4096": lambda place: requests(place, Requests("rsa", lib.VKS_OP_SIGN, 32, 512)),
    "refusals": lambda place: requests(place, Requests("", lib.VKS_OP_SIGN, 32, 64)),
    "kicks": kicks,
    "broken rings": broken_rings,
    "connections": connections,
}


@dataclass(frozen=True, slots=True)
class Measured:
    """The medians of one attempt."""

    share: float
    slower: float
    answer_s: float

    @property
    def ok(self) -> bool:
        """Whether it is within the promise."""
        return self.share >= SHARE_MIN and self.slower <= SLOWER_MAX and self.answer_s <= ANSWER_S_MAX


def measure(place: Place, flood: Flood) -> Measured:
    """Rounds alone and rounds beside the flood, in turn."""
    shares, slower = [], []
    answers_s: list[float] = []
    for _ in range(ROUNDS):
        alone = place.work()
        with flood(place):
            answers_s += answer_times_s(place.vault, ASKED // ROUNDS)
            beside = place.work()
        shares += [ops / before for (before, _), (ops, _) in zip(alone, beside, strict=True)]
        slower += [p50_us / before_us for (_, before_us), (_, p50_us) in zip(alone, beside, strict=True)]
    return Measured(median(shares), median(slower), median(answers_s))


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_flood_costs_the_others_little(place: Place, flood: Flood) -> None:
    """Throughput and latency of the four by the statistic above; the answer times of keystored meanwhile."""
    attempts: list[Measured] = []
    while not (attempts and attempts[-1].ok) and len(attempts) < ATTEMPTS:
        attempts.append(measure(place, flood))
        print(attempts[-1])
    assert attempts[-1].ok, attempts


def answer_times_s(vault: Keystored, count: int) -> list[float]:
    """How long an administrator waits for an answer."""
    times_s = []
    for _ in range(count):
        before_s = time.monotonic()
        vault.api.get("/guests/one")
        times_s.append(time.monotonic() - before_s)
    return times_s
