# SPDX-License-Identifier: Apache-2.0
"""What more guests cost the one that is at work, and the host while nobody asks."""

import resource
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass

from framework.frontend import FrontEnd
from framework.guest_ram import GuestRam
from framework.keystored import Keystored
from framework.processes import descendants
from framework.split_ring import SplitRing

from bench.consumption import cpu_percent, memory_of
from bench.growth import (
    BUSY,
    DEPTH,
    HOT,
    P256_SIGN,
    SIZE_BYTES,
    Busy,
    declare_guests,
    measure_busy,
    say,
    socket_of,
    worker_of,
)
from bench.take import left_out
from bench.vault_subject import connected, engine_of

GUESTS = (1, 10, 100, 1000)
IDLE_S = 5.0
SETTLE_S = 2.0
"""What follows an arrival, a standby's start for one, is not idling."""
FILES_A_GUEST = 15
"""Open in keystored for each guest that has a front-end."""
SPARE_FILES = 500
IDLE_RAM_BYTES = 1 << 18


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


def fitting(counts: Sequence[int]) -> list[int]:
    """Leave out what cannot be: each guest takes open files."""
    _soft, files = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = (files - SPARE_FILES) // FILES_A_GUEST
    if too_many := [count for count in counts if count > most]:
        left_out(f"growth: {', '.join(map(str, too_many))} guests", f"{files} open files are allowed")
    return [count for count in counts if count <= most]
