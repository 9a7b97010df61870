# SPDX-License-Identifier: Apache-2.0
"""What more guests and more keys cost those that are at work: a busy guest among idle ones, a hot key among many.

Workers sleep between requests here, as they do by default. The vault's own files are where tests have them.
"""

import resource
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from typing import Any

import httpx
from framework.frontend import FrontEnd
from framework.guest_ram import GuestRam
from framework.keystored import Keystored
from framework.pinned import pin
from framework.processes import descendants
from framework.ring_load import Sample
from framework.split_ring import SplitRing

from bench.consumption import cpu_percent, memory_of
from bench.libcryptos import RawSubject
from bench.operation import OPERATIONS
from bench.take import CPUS, CRYPTO_CPU, LOAD_CPU, left_out
from bench.vault_subject import Load, connected, engine_of

GUESTS = (1, 10, 100, 1000)
KEYS = (10, 1000, 10_000)
DEPTH = 8
IDLE_S = 5.0
SETTLE_S = 2.0
"""What follows an arrival, a standby's start for one, is not idling."""
FILES_A_GUEST = 15
"""Open in keystored for each guest that has a front-end."""
SPARE_FILES = 500
IDLE_RAM_BYTES = 1 << 18
KEYS_AT_ONCE = 2000
"""That are made by one request: nobody waits for its answer for too long."""
PATIENCE_S = 20.0
MEANWHILE_MS = 200
[P256_SIGN] = [operation for operation in OPERATIONS if operation.name == "p256-sign"]
SIZE_BYTES = 32
HOT, BUSY, ROLE = "hot", "busy", "many"


@dataclass(frozen=True, slots=True)
class Busy:
    """The busy guest's figures, at depth 8 with one P-256 key; medians of *rounds*, ratios as in the table."""

    rounds: int
    ops_per_s: float
    ratio_to_libcrypto: float
    p50_us: float
    p99_us: float


@dataclass(frozen=True, slots=True)
class GuestsRow(Busy):
    """So many guests attached, one of them busy.

    ``idle_cpu_percent`` is of one core, all processes of the vault together, while nobody asks, and
    ``idle_keystored_percent`` what keystored itself has of that. Memory is the private pages, secret ones included, of
    the worker that came last; where there is more than one, it has not been asked yet. ``busy_private_kib`` is the busy
    one's, after its work by *engine*.
    """

    guests: int
    idle_cpu_percent: float
    idle_keystored_percent: float
    worker_private_kib: int
    worker_secret_kib: int
    busy_private_kib: int
    engine: str


@dataclass(frozen=True, slots=True)
class KeysRow(Busy):
    """So many keys granted to the one guest there is.

    ``to_answer_s`` is from the request that grants them to keystored's answer, ``to_usable_s`` to a signature with the
    last of them, null where there was none; ``hot_p99_us`` is what users of the hot key saw meanwhile, at worst, with
    everybody on both cores. ``one_more_s`` is from the grant of one more key to a signature with it, null likewise.
    Memory is as for guests, once all keys were granted and, *used*, once each had signed. ``keys_usable`` of them
    could; what keystored says about the others is the *problem*.
    """

    keys: int
    to_answer_s: float
    to_usable_s: float | None
    hot_p99_us: float
    one_more_s: float | None
    worker_private_kib: int
    worker_secret_kib: int
    used_private_kib: int
    keys_usable: int
    problem: str


def measure_guests(counts: Sequence[int], rounds: int, milliseconds: int) -> Iterator[GuestsRow]:
    """Attach more and more guests."""
    with Keystored() as daemon, ExitStack() as stack:
        daemon.api.generate(HOT, P256_SIGN.key_type)
        guests = [BUSY]
        declare_guests(daemon, guests)
        load = stack.enter_context(connected(socket_of(daemon, BUSY), P256_SIGN, SIZE_BYTES, DEPTH, HOT, spare=True))
        for count in fitting(counts):
            say(f"{count} guests")
            more = [f"g{number}" for number in range(len(guests), count)]
            declare_guests(daemon, more)
            for name in more:
                stack.enter_context(idle_guest(daemon, name))
            guests += more
            time.sleep(SETTLE_S)
            memory = memory_of(worker_of(daemon, guests[-1])["pid"])
            groups = {"keystored": [daemon.pid], "others": [process.pid for process in descendants(daemon.pid)]}
            idle = cpu_percent(groups, IDLE_S)
            busy = measure_busy(daemon, load, rounds, milliseconds)
            worker = worker_of(daemon, BUSY)
            yield GuestsRow(
                **asdict(busy),
                guests=count,
                idle_cpu_percent=round(sum(idle.values()), 3),
                idle_keystored_percent=round(idle["keystored"], 3),
                worker_private_kib=memory.private_kib,
                worker_secret_kib=memory.secret_kib,
                busy_private_kib=memory_of(worker["pid"]).private_kib,
                engine=engine_of(worker, P256_SIGN),
            )


def measure_keys(counts: Sequence[int], rounds: int, milliseconds: int) -> Iterator[KeysRow]:
    """Grant more and more keys to a guest that is at work with one."""
    with Keystored() as daemon:
        daemon.api.generate(HOT, P256_SIGN.key_type)
        declare_guests(daemon, [BUSY])
        made = 0
        with connected(socket_of(daemon, BUSY), P256_SIGN, SIZE_BYTES, DEPTH, HOT, spare=True) as load:
            for count in counts:
                say(f"{count} keys: making them")
                make_keys(daemon, made, count + 1)
                made = count + 1
                say(f"{count} keys")
                try:
                    yield keys_row(daemon, load, count, (rounds, milliseconds))
                except httpx.TimeoutException:
                    left_out(f"growth: {count} keys", "keystored gives no answer to the change that grants them")
                    daemon.kill_all()  # it is still at it
                    return


def keys_row(daemon: Keystored, load: Load, count: int, effort: tuple[int, int]) -> KeysRow:
    """Grant *count* keys where there are fewer, and look."""
    for pid in (worker_of(daemon, BUSY)["pid"], daemon.pid):
        pin(pid, CPUS)
    start_s = time.monotonic()
    with meanwhile(load) as seen:
        grant_keys(daemon, count)
        answer_s = time.monotonic() - start_s
    last = key_id(daemon, count - 1)
    usable, usable_s = load.can_sign(last), answer_s
    if not usable:
        usable, usable_s = usable_within(load, last, PATIENCE_S), time.monotonic() - start_s
    memory = memory_of(worker_of(daemon, BUSY)["pid"])
    busy = measure_busy(daemon, load, *effort)
    able = sum(load.can_sign(entry.key_id) for entry in load.guest.list_keys() if entry.label != HOT)
    used = memory_of(worker_of(daemon, BUSY)["pid"])
    more_s = one_more(daemon, load, count)
    return KeysRow(
        **asdict(busy),
        keys=count,
        to_answer_s=round(answer_s, 3),
        to_usable_s=round(usable_s, 3) if usable else None,
        hot_p99_us=max((sample.p99_us for sample in seen), default=0.0),
        one_more_s=more_s,
        worker_private_kib=memory.private_kib,
        worker_secret_kib=memory.secret_kib,
        used_private_kib=used.private_kib,
        keys_usable=able,
        problem=worker_of(daemon, BUSY)["problem"],
    )


def measure_busy(daemon: Keystored, load: Load, rounds: int, milliseconds: int) -> Busy:
    """Measure the busy guest, in turn with plain libcrypto."""
    pin(worker_of(daemon, BUSY)["pid"], [CRYPTO_CPU])
    pin(daemon.pid, [LOAD_CPU])
    samples, ratios = [], []
    with RawSubject().takes(P256_SIGN, SIZE_BYTES) as [baseline]:
        for _ in range(rounds):
            base = baseline.run(milliseconds)
            samples.append(load.run(DEPTH, milliseconds, 0, LOAD_CPU))
            ratios.append(samples[-1].ops_per_s / base.ops_per_s)
    return Busy(
        rounds=rounds,
        ops_per_s=round(median(sample.ops_per_s for sample in samples), 1),
        ratio_to_libcrypto=round(median(ratios), 4),
        p50_us=median(sample.p50_us for sample in samples),
        p99_us=median(sample.p99_us for sample in samples),
    )


@contextmanager
def idle_guest(daemon: Keystored, name: str) -> Iterator[None]:
    """Attach a guest whose driver has started its ring and asks for nothing."""
    with (
        GuestRam(IDLE_RAM_BYTES) as ram,
        SplitRing(ram, 16) as ring,
        FrontEnd.connect(socket_of(daemon, name), ram) as frontend,
    ):
        frontend.negotiate()
        frontend.start(ring)
        yield


@contextmanager
def meanwhile(load: Load) -> Iterator[list[Sample]]:
    """Have the hot key used all the time."""
    samples: list[Sample] = []
    stop = threading.Event()

    def run() -> None:
        while not stop.is_set():
            samples.append(load.run(DEPTH, MEANWHILE_MS, 0, None))

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield samples
    finally:
        stop.set()
        thread.join()


def usable_within(load: Load, key_id: bytes, seconds: float) -> bool:
    """Sign with a key until that works."""
    end_s = time.monotonic() + seconds
    while not (usable := load.can_sign(key_id)) and time.monotonic() < end_s:
        time.sleep(0.001)
    return usable


def one_more(daemon: Keystored, load: Load, number: int) -> float | None:
    """Grant one key besides all others, use it, and take it back; None when it did not get usable."""
    wanted = key_id(daemon, number)
    start_s = time.monotonic()
    daemon.api.grant(BUSY, f"k{number}", ["sign"])
    usable = usable_within(load, wanted, PATIENCE_S)
    seconds = round(time.monotonic() - start_s, 4)
    daemon.api.revoke(BUSY, f"k{number}")
    return seconds if usable else None


def declare_guests(daemon: Keystored, names: Sequence[str]) -> None:
    """Add guests that may use the hot key."""
    grants = [{"key": HOT, "ops": ["sign"]}]
    guests = {name: {"socket": str(socket_of(daemon, name)), "grants": grants} for name in names}
    daemon.api.post("/apply", {"declaration": {"guests": guests}})


def make_keys(daemon: Keystored, first: int, end: int) -> None:
    """Make keys by number."""
    for start in range(first, end, KEYS_AT_ONCE):
        numbers = range(start, min(start + KEYS_AT_ONCE, end))
        keys = {f"k{number}": {"type": P256_SIGN.key_type} for number in numbers}
        daemon.api.post("/apply", {"declaration": {"keys": keys}})


def grant_keys(daemon: Keystored, count: int) -> None:
    """Grant the first *count* keys by way of a role."""
    grants = [{"key": f"k{number}", "ops": ["sign"]} for number in range(count)]
    busy = {
        "socket": str(socket_of(daemon, BUSY)),
        "roles": [ROLE],
        "grants": [{"key": HOT, "ops": ["sign"]}],
    }
    daemon.api.post("/apply", {"declaration": {"roles": {ROLE: {"grants": grants}}, "guests": {BUSY: busy}}})


def key_id(daemon: Keystored, number: int) -> bytes:
    """The id of a key by its number."""
    return bytes.fromhex(daemon.api.get(f"/keys/k{number}")["id"])


def socket_of(daemon: Keystored, name: str) -> Path:
    """Where a guest connects."""
    return daemon.folder / f"{name}.sock"


def worker_of(daemon: Keystored, name: str) -> Any:
    """Facts about a guest's worker."""
    return daemon.api.get(f"/guests/{name}")["worker"]


def fitting(counts: Sequence[int]) -> list[int]:
    """Leave out what cannot be: each guest takes open files."""
    _soft, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (files - SPARE_FILES) // FILES_A_GUEST
    if too_many := [count for count in counts if count > most]:
        left_out(f"growth: {', '.join(map(str, too_many))} guests", f"{files} open files are allowed")
    return [count for count in counts if count <= most]


def say(what: str) -> None:
    """Show where it is."""
    print(f"bench: growth: {what}", file=sys.stderr, flush=True)
