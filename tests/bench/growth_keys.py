# SPDX-License-Identifier: Apache-2.0
"""What more keys cost: granted to the guest that is at work, or only in the store.

A worker has room for some of the keys of a guest that has many. The others are brought when they are asked for, and that
must cost those that are there nothing: requests for keys at random, and for the hot key, are under way on one ring.
"""

import random
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field

from framework.keystored import Keystored
from framework.pinned import pin
from framework.ring_guest import RingGuest, ring_guest

from bench.consumption import memory_of
from bench.full_store import add_copies, add_granted_keys
from bench.growth import (
    BUSY,
    DEPTH,
    HOT,
    P256_SIGN,
    SIZE_BYTES,
    Busy,
    declare_guests,
    measure_busy,
    one_more,
    say,
    socket_of,
    worker_of,
)
from bench.take import CRYPTO_CPU
from bench.vault_subject import connected
from vmm_keystore._vks import lib
from vmm_keystore.policy.vocabulary import KeyType

KEYS = (10, 1000, 100_000)
STORED = (1000, 100_000, 1_000_000)
BESIDE_S = 3.0
OUTPUT_BYTES = 96
EACH = 4


@dataclass(frozen=True)
class Beside:
    """Requests by a Python guest, four at a time: for the hot key alone, then beside others at random.

    ``hot_*`` is with the others under way, ``hot_alone_p99_us`` without; ``filled_per_s`` of the keys at random were not
    in the worker.
    """

    hot_alone_p99_us: float
    hot_p50_us: float
    hot_p99_us: float
    random_per_s: float
    random_p50_us: float
    random_p99_us: float
    filled_per_s: float
    refused: int


@dataclass(frozen=True, slots=True)
class KeysRow(Busy, Beside):
    """So many keys granted to the one guest there is.

    ``ready_s`` is from keystored's start to its readiness, ``first_s`` from a front-end's connection to its first
    signature, by the key that is last in the table; ``one_more_s`` from the grant of one more key to a signature with
    it. Memory is the worker's private pages, secret ones included, after all that.
    """

    keys: int
    ready_s: float
    first_s: float
    one_more_s: float
    worker_private_kib: int
    worker_secret_kib: int


@dataclass(frozen=True, slots=True)
class StoreRow(Busy):
    """So many keys in the store, one of them granted; ``ready_s`` and ``one_more_s`` as for granted keys."""

    stored: int
    ready_s: float
    one_more_s: float
    keystored_private_kib: int


def measure_keys(counts: Sequence[int], rounds: int, milliseconds: int) -> Iterator[KeysRow]:
    """Grant more and more keys to a guest that is at work with one."""
    with busy_vault() as daemon:
        granted = 0
        for count in counts:
            say(f"{count} keys granted: making them")
            daemon.stop()
            add_granted_keys(daemon.state_dir, range(granted, count), KeyType.EC_P256, BUSY, 1 << lib.VKS_OP_SIGN)
            granted = count
            ready_s = started(daemon)
            last = key_id(daemon, f"k{count - 1}")
            say(f"{count} keys granted")
            start_s = time.monotonic()
            with ring_guest(socket_of(daemon, BUSY), slot_count=2 * DEPTH) as guest:
                if guest.sign(last, bytes(SIZE_BYTES)).status != lib.VKS_STATUS_OK:
                    raise AssertionError("a key that is granted does not sign")
                first_s = time.monotonic() - start_s
                ids = {entry.label: entry.key_id for entry in guest.list_keys()}
                beside = measure_beside(daemon, guest, ids.pop(HOT), list(ids.values()))
            with connected(socket_of(daemon, BUSY), P256_SIGN, SIZE_BYTES, DEPTH, HOT, spare=True) as load:
                busy = measure_busy(daemon, load, rounds, milliseconds)
                more_s = one_more(daemon, load, f"more{count}")
            memory = memory_of(worker_of(daemon, BUSY)["pid"])
            yield KeysRow(
                **asdict(busy),
                **asdict(beside),
                keys=count,
                ready_s=ready_s,
                first_s=round(first_s, 3),
                one_more_s=more_s,
                worker_private_kib=memory.private_kib,
                worker_secret_kib=memory.secret_kib,
            )


def measure_stored(counts: Sequence[int], rounds: int, milliseconds: int) -> Iterator[StoreRow]:
    """Put more and more keys into the store that nobody is granted."""
    with busy_vault() as daemon:
        stored = 0
        for count in counts:
            say(f"{count} keys stored")
            daemon.stop()
            add_copies(daemon.state_dir, HOT, range(stored, count))
            stored = count
            ready_s = started(daemon)
            with connected(socket_of(daemon, BUSY), P256_SIGN, SIZE_BYTES, DEPTH, HOT, spare=True) as load:
                busy = measure_busy(daemon, load, rounds, milliseconds)
                more_s = one_more(daemon, load, f"more{count}")
            yield StoreRow(
                **asdict(busy),
                stored=count,
                ready_s=ready_s,
                one_more_s=more_s,
                keystored_private_kib=memory_of(daemon.pid).private_kib,
            )


def measure_beside(daemon: Keystored, guest: RingGuest, hot: bytes, others: Sequence[bytes]) -> Beside:
    """Use the hot key alone, then beside the others at random; from one processor, the worker on the other one."""
    pin(worker_of(daemon, BUSY)["pid"], [CRYPTO_CPU])
    alone, _none = use(guest, hot, ())
    before = worker_of(daemon, BUSY)["keys_filled"]
    start_s = time.monotonic()
    beside, at_random = use(guest, hot, others)
    seconds = time.monotonic() - start_s
    return Beside(
        hot_alone_p99_us=percentile(alone.us, 99),
        hot_p50_us=percentile(beside.us, 50),
        hot_p99_us=percentile(beside.us, 99),
        random_per_s=round(len(at_random.us) / seconds, 1),
        random_p50_us=percentile(at_random.us, 50),
        random_p99_us=percentile(at_random.us, 99),
        filled_per_s=round((worker_of(daemon, BUSY)["keys_filled"] - before) / seconds, 1),
        refused=alone.refused + beside.refused + at_random.refused,
    )


@dataclass
class Uses:
    """What came of requests."""

    us: list[float] = field(default_factory=list)
    refused: int = 0


def use(guest: RingGuest, hot: bytes, others: Sequence[bytes]) -> tuple[Uses, Uses]:
    """Keep four requests for the hot key under way, and four for others, each for one at random."""
    chance, of_hot, of_others = random.Random(1), Uses(), Uses()  # noqa: S311 - the same at each run
    under_way: dict[int, tuple[Uses, float]] = {}

    def submit(uses: Uses) -> None:
        key_id = hot if uses is of_hot else chance.choice(others)
        sent_s = time.monotonic()
        head = guest.vault.submit(lib.VKS_OP_SIGN, key_id=key_id, data=bytes(SIZE_BYTES), output_bytes=OUTPUT_BYTES)
        under_way[head] = (uses, sent_s)

    end_s = time.monotonic() + BESIDE_S
    for uses in (of_hot, of_others) * EACH if others else (of_hot,) * EACH:
        submit(uses)
    while under_way:
        guest.ring.kick()
        answers = guest.vault.collect(timeout_s=30)
        now_s = time.monotonic()
        # All before the first is sent: it takes the place of one of them.
        answered = [(*under_way.pop(head), answer.status) for head, answer in answers]
        for uses, sent_s, status in answered:
            uses.us.append((now_s - sent_s) * 1e6)
            uses.refused += status != lib.VKS_STATUS_OK
            if now_s < end_s:
                submit(uses)
    return of_hot, of_others


def percentile(values: Sequence[float], percent: int) -> float:
    """One of *values*, 0 where there is none."""
    return round(sorted(values)[len(values) * percent // 100], 1) if values else 0.0


def key_id(daemon: Keystored, label: str) -> bytes:
    """The id of a key."""
    return bytes.fromhex(daemon.api.get(f"/keys/{label}")["id"])


def started(daemon: Keystored) -> float:
    """Start it; how long that took."""
    start_s = time.monotonic()
    daemon.start()
    return round(time.monotonic() - start_s, 3)


@contextmanager
def busy_vault() -> Iterator[Keystored]:
    """Give a vault with one guest that may use one key."""
    with Keystored() as daemon:
        daemon.api.generate(HOT, P256_SIGN.key_type)
        declare_guests(daemon, [BUSY])
        yield daemon
