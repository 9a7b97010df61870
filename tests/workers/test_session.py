# SPDX-License-Identifier: Apache-2.0
"""What a front-end's calls become: one message each, one completion each, told again to each successor."""

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field, replace
from typing import Any

import pytest

from vmm_keystore._vks import ffi, lib
from vmm_keystore.vhost_user.backend import MemoryRegion, Peer, RingFd, Vring
from vmm_keystore.workers.errors import ProgramLostError, ProgramRefusedError
from vmm_keystore.workers.ipc import Message
from vmm_keystore.workers.session import WorkerSession

REGION = MemoryRegion(gpa=0, size_bytes=4096, uva=0x1000, mmap_offset=8192, fd=10)
VRING = Vring(
    index=0,
    size=256,
    desc_uva=1,
    avail_uva=2,
    used_uva=3,
    base=9,
    features=5,
    start_id=77,
    kick_fd=11,
    call_fd=None,
    err_fd=13,
)


@dataclass
class Worker:
    """Takes messages; the test answers them."""

    posted: list[tuple[int, bytes, list[int]]] = field(default_factory=list)
    futures: list[Future[Message]] = field(default_factory=list)
    killed: bool = False
    ended: threading.Event = field(default_factory=threading.Event)

    def post(self, message_type: int, body: bytes = b"", fds: tuple[int, ...] = ()) -> Future[Message]:
        """Keep the message."""
        self.posted.append((message_type, body, list(fds)))
        self.futures.append(Future())
        return self.futures[-1]

    def kill(self) -> None:
        """Die, and with it every open request."""
        self.killed = True
        self.ended.set()
        self.lose()

    def lose(self) -> None:
        """Its control socket breaks; it may still run."""
        for future in self.futures:
            if not future.done():
                future.set_exception(ProgramLostError("killed"))

    def answer(self, **fields: int) -> None:
        """Answer the oldest open message."""
        body = ffi.new("struct vks_worker_ring_stopped *", fields)
        next(future for future in self.futures if not future.done()).set_result(Message(0, 1, 0, body, b"", ()))

    def refuse(self) -> None:
        """Refuse the oldest open message."""
        next(future for future in self.futures if not future.done()).set_exception(ProgramRefusedError("worker", 22))

    @property
    def types(self) -> list[int]:
        """What was asked."""
        return [message_type for message_type, _body, _fds in self.posted]


class Reactor:
    """Runs calls when the test says so; timers only when told that time has passed."""

    def __init__(self) -> None:
        self.calls: deque[Callable[[], None]] = deque()
        self.timers: list[tuple[float, Callable[[], None]]] = []

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Keep it."""
        self.calls.append(callback)

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Keep it."""
        entry = (delay_s, callback)
        self.timers.append(entry)
        return lambda: self.timers.remove(entry) if entry in self.timers else None

    def run(self) -> None:
        """Run what was asked for."""
        while self.calls:
            self.calls.popleft()()

    def pass_time(self) -> None:
        """Let every timer fire."""
        while self.timers:
            self.timers.pop(0)[1]()
        self.run()


@dataclass
class FrontEnd:
    """The session as vhost_user gives it."""

    reactor: Reactor = field(default_factory=Reactor)
    guest: str = "g"
    peer: Peer = field(default_factory=lambda: Peer(pid=77, uid=0, gid=0, pidfd=-1))
    aborted: str = ""

    def fileno(self) -> int:
        """Never looked at."""
        return -1

    def abort(self, reason: str) -> None:
        """Remember why."""
        self.aborted = reason


@dataclass
class Owner:
    """The guest."""

    serving: Any = None
    closed: bool = False

    begun: set[int] = field(default_factory=set)

    def next_base(self, queue: int, start_id: int, base: int) -> int:
        """A base that no worker says."""
        return 4000 + queue if start_id in self.begun else base

    def session_closed(self, _session: WorkerSession) -> None:
        """Remember it."""
        self.closed = True


@dataclass
class Completion:
    """Ends once."""

    ends: list[str] = field(default_factory=list)

    def done(self, base: int = 0) -> None:
        """Succeed."""
        self.ends.append(f"done {base}")

    def failed(self, reason: str) -> None:
        """Fail."""
        self.ends.append(f"failed {reason}")


@dataclass
class Scene:
    """Everything around one session."""

    owner: Owner
    front_end: FrontEnd
    session: WorkerSession
    worker: Worker

    @property
    def reactor(self) -> Reactor:
        """The loop that the test turns."""
        return self.front_end.reactor


@pytest.fixture
def scene() -> Scene:
    worker, front_end = Worker(), FrontEnd()
    owner = Owner(serving=worker)
    return Scene(owner, front_end, WorkerSession(owner, front_end), worker)  # type: ignore[arg-type]


def test_calls_become_messages(scene: Scene) -> None:
    """Every number and descriptor arrives where the layout has it; completion only after the reply."""
    table, start = Completion(), Completion()
    scene.session.set_mem_table([REGION], table)
    scene.reactor.run()
    assert table.ends == []
    scene.worker.answer()
    scene.reactor.run()
    scene.session.start_ring(VRING, start)
    scene.worker.answer()
    scene.reactor.run()
    assert (table.ends, start.ends) == (["done 0"], ["done 0"])
    (table_type, table_body, table_fds), (start_type, start_body, start_fds) = scene.worker.posted
    entries: Any = ffi.from_buffer("struct vks_worker_mem_table *", table_body)
    assert (table_type, entries.region_count, table_fds) == (lib.VKS_WORKER_MEM_TABLE, 1, [10])
    region = entries.regions[0]
    assert (region.gpa, region.uva, region.size_bytes, region.mmap_offset) == (0, 0x1000, 4096, 8192)
    ring: Any = ffi.from_buffer("struct vks_worker_ring_start *", start_body)
    assert (start_type, start_fds, ring.flags) == (lib.VKS_WORKER_RING_START, [11, 13], lib.VKS_RING_F_ERR)
    assert (ring.size, ring.base, ring.features) == (256, 9, 5)
    assert (ring.desc_uva, ring.avail_uva, ring.used_uva) == (1, 2, 3)


@pytest.mark.parametrize(
    ("role", "message_type"),
    [
        (RingFd.KICK, lib.VKS_WORKER_RING_KICK),
        (RingFd.CALL, lib.VKS_WORKER_RING_CALL),
        (RingFd.ERR, lib.VKS_WORKER_RING_ERR),
    ],
)
def test_descriptors_of_live_rings_are_replaced(scene: Scene, role: RingFd, message_type: int) -> None:
    """Each role has its message."""
    begin(scene)
    scene.session.set_ring_fd(0, role, 21, Completion())
    kind, _body, fds = scene.worker.posted[-1]
    assert (kind, fds) == (message_type, [21])


def test_ring_without_kick_descriptor_is_refused(scene: Scene) -> None:
    """Nobody polls instead."""
    completion = Completion()
    scene.session.set_ring_fd(0, RingFd.KICK, None, completion)
    assert completion.ends[0].startswith("failed")
    assert scene.worker.posted == []


def start_id(posted: tuple[int, bytes, list[int]]) -> int:
    """Which start of the front-end a message is about."""
    ring: Any = ffi.from_buffer("struct vks_worker_ring_start *", posted[1])
    return int(ring.start_id)


def begin(scene: Scene) -> int:
    """A memory table and a running ring; the start's id."""
    scene.session.set_mem_table([REGION], Completion())
    scene.session.start_ring(VRING, Completion())
    scene.worker.answer()
    scene.worker.answer()
    scene.reactor.run()
    begun = start_id(scene.worker.posted[-1])
    scene.owner.begun.add(begun)
    return begun


def succeed(scene: Scene) -> Worker:
    """Another worker serves; what it was told."""
    successor = Worker()
    scene.owner.serving = successor
    scene.session.worker_changed()
    scene.reactor.run()
    return successor


def test_stop_gives_the_workers_base(scene: Scene) -> None:
    """And no timer kills a worker that stopped in time."""
    completion = Completion()
    begin(scene)
    scene.session.stop_ring(0, completion)
    scene.worker.answer(base=321)
    scene.reactor.run()
    scene.reactor.pass_time()
    assert completion.ends == ["done 321"]
    assert not scene.worker.killed


def test_worker_that_does_not_stop_is_killed(scene: Scene) -> None:
    """QEMU gets its answer from state memory, once the worker is gone."""
    completion = Completion()
    begin(scene)
    scene.session.stop_ring(0, completion)
    scene.reactor.run()
    assert completion.ends == []
    scene.reactor.pass_time()
    assert scene.worker.killed
    assert completion.ends == ["done 4000"]


def test_worker_that_refuses_to_stop_is_killed(scene: Scene) -> None:
    """It may go on with the ring for as long as it lives."""
    completion = Completion()
    begin(scene)
    scene.session.stop_ring(0, completion)
    scene.worker.refuse()
    scene.reactor.run()
    scene.session.worker_changed()
    scene.reactor.run()
    assert scene.worker.killed
    assert completion.ends == ["done 4000"]


def test_successor_is_told_everything(scene: Scene) -> None:
    """Memory, then the ring: where state memory left it, as the same start, with the latest descriptors."""
    begun = begin(scene)
    scene.session.set_ring_fd(0, RingFd.CALL, 31, Completion())
    scene.worker.answer()
    scene.reactor.run()
    scene.worker.kill()
    scene.owner.serving = None
    scene.session.worker_changed()
    scene.reactor.run()
    successor = succeed(scene)
    assert successor.types == [lib.VKS_WORKER_MEM_TABLE, lib.VKS_WORKER_RING_START]
    assert successor.posted[0][2] == [10]
    assert successor.posted[1][2] == [11, 31, 13]
    ring: Any = ffi.from_buffer("struct vks_worker_ring_start *", successor.posted[1][1])
    assert (ring.base, ring.start_id, ring.size) == (4000, begun, 256)
    assert scene.front_end.aborted == ""


def test_call_while_there_is_no_worker_is_done_at_once(scene: Scene) -> None:
    """QEMU is never held up by a replacement; the next worker starts from the latest of each."""
    begin(scene)
    scene.worker.kill()
    scene.owner.serving = None
    scene.session.worker_changed()
    scene.reactor.run()
    stop, table, start, descriptor = (Completion() for _ in range(4))
    scene.session.stop_ring(0, stop)
    scene.session.set_mem_table([replace(REGION, fd=40)], table)
    scene.session.start_ring(replace(VRING, base=0, start_id=78), start)
    scene.session.set_ring_fd(0, RingFd.KICK, 41, descriptor)
    assert [call.ends for call in (stop, table, start, descriptor)] == [["done 4000"], ["done 0"]] + [["done 0"]] * 2
    successor = succeed(scene)
    assert [fds for _type, _body, fds in successor.posted] == [[40], [41, 13]]
    ring: Any = ffi.from_buffer("struct vks_worker_ring_start *", successor.posted[1][1])
    assert (ring.base, ring.start_id) == (0, 78)


def test_ring_that_was_stopped_meanwhile_is_not_started(scene: Scene) -> None:
    """Only its memory comes back."""
    begin(scene)
    scene.worker.kill()
    scene.owner.serving = None
    scene.session.worker_changed()
    scene.reactor.run()
    scene.session.stop_ring(0, Completion())
    assert succeed(scene).types == [lib.VKS_WORKER_MEM_TABLE]


def test_call_is_not_over_before_the_worker_is(scene: Scene) -> None:
    """A broken control socket is no proof of death: the old memory may be in use until the pidfd says exit."""
    begin(scene)
    table, stop = Completion(), Completion()
    scene.session.set_mem_table([], table)
    scene.worker.lose()
    scene.reactor.run()
    assert table.ends == []
    scene.worker.kill()
    scene.owner.serving = None
    scene.session.worker_changed()
    scene.reactor.run()
    assert table.ends == ["done 0"]
    scene.session.stop_ring(0, stop)
    scene.reactor.run()
    assert stop.ends == ["done 4000"]


def test_start_that_the_dead_worker_never_saw(scene: Scene) -> None:
    """It begins where the front-end said, not where an older table left off."""
    start = Completion()
    scene.session.start_ring(VRING, start)
    scene.worker.kill()
    scene.owner.serving = None
    scene.session.worker_changed()
    scene.reactor.run()
    assert start.ends == ["done 0"]
    successor = succeed(scene)
    ring: Any = ffi.from_buffer("struct vks_worker_ring_start *", successor.posted[0][1])
    assert ring.base == VRING.base
    assert start_id(successor.posted[0]) == start_id(scene.worker.posted[0])


def test_successor_that_refuses_ends_the_session(scene: Scene) -> None:
    """The front-end was told that its table is in force: it must not go on as if it were."""
    begin(scene)
    scene.worker.kill()
    successor = succeed(scene)
    successor.refuse()
    scene.reactor.run()
    assert scene.front_end.aborted


def test_refused_calls_are_not_told_again(scene: Scene) -> None:
    """After a refused table or start nothing of it is left."""
    table, start = Completion(), Completion()
    scene.session.set_mem_table([REGION], table)
    scene.worker.refuse()
    scene.reactor.run()
    scene.session.start_ring(VRING, start)
    scene.worker.refuse()
    scene.reactor.run()
    assert [call.ends[0].split()[0] for call in (table, start)] == ["failed", "failed"]
    scene.worker.kill()
    assert succeed(scene).posted == []


def test_close_during_a_replacement(scene: Scene) -> None:
    """A front-end that goes while nobody serves leaves nothing to tell the next worker."""
    begin(scene)
    scene.worker.kill()
    scene.owner.serving = None
    scene.session.worker_changed()
    scene.reactor.run()
    scene.session.close("hung up")
    assert succeed(scene).posted == []
    assert scene.owner.closed


def test_close_stops_rings_and_drops_memory(scene: Scene) -> None:
    """In this order; completions still open are void."""
    table, start = Completion(), Completion()
    scene.session.set_mem_table([REGION], table)
    scene.session.start_ring(VRING, start)
    scene.session.close("hung up")
    assert scene.worker.types[2:] == [lib.VKS_WORKER_RING_STOP, lib.VKS_WORKER_MEM_TABLE]
    assert scene.worker.posted[3][2] == []
    for _ in range(4):
        scene.worker.answer()
    scene.reactor.run()
    scene.reactor.pass_time()
    assert (table.ends, start.ends) == ([], [])
    assert scene.owner.closed
    assert not scene.worker.killed


def test_worker_that_keeps_the_memory_is_killed(scene: Scene) -> None:
    """A guest's memory is not left mapped behind its front-end."""
    scene.session.set_mem_table([REGION], Completion())
    scene.worker.answer()
    scene.session.close("hung up")
    scene.reactor.pass_time()
    assert scene.worker.killed


def test_close_before_any_call_is_quiet(scene: Scene) -> None:
    """QEMU probes a socket and goes: the worker hears nothing of it."""
    scene.session.close("hung up")
    assert scene.worker.posted == []
