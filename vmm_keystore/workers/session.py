# SPDX-License-Identifier: Apache-2.0
"""What a connected front-end asks of its guest's worker: ``vhost_user``'s calls as messages of ``ipc.h``.

Everything here runs on the vhost-user thread and never waits: a reply comes back as a completion through the reactor.
A call that comes while the guest has no worker waits for the next one.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from typing import Protocol

from vmm_keystore._vks import lib
from vmm_keystore.vhost_user.backend import Completion, MemoryRegion, RingFd, Session, Vring
from vmm_keystore.workers.errors import ProgramLostError
from vmm_keystore.workers.ipc import Message, pack
from vmm_keystore.workers.worker import Worker

log = logging.getLogger(__name__)

STOP_KILL_S = 0.1
"""A worker on a busy machine may miss the 10 ms of STOP_RING_MS; killing it then would cost the guest its device."""
CLOSE_KILL_S = 1.0
RING_FD_TYPES = {
    RingFd.KICK: lib.VKS_WORKER_RING_KICK,
    RingFd.CALL: lib.VKS_WORKER_RING_CALL,
    RingFd.ERR: lib.VKS_WORKER_RING_ERR,
}

Send = Callable[[Worker], Future[Message]]
Finish = Callable[[Message], None]
Fail = Callable[[str], None]


class SessionOwner(Protocol):
    """The guest, as far as its front-end is concerned."""

    @property
    def serving(self) -> Worker | None:
        """The worker that has its keys and snapshot, if there is one."""

    def next_base(self, queue: int) -> int:
        """Tell the base of a ring whose worker died."""

    def session_closed(self, session: "WorkerSession") -> None:
        """Forget the session."""


class WorkerSession:
    """``VringBackend`` of one connection, bound to one worker from its first call on."""

    def __init__(self, owner: SessionOwner, session: Session) -> None:
        self._owner = owner
        self._session = session
        self._worker: Worker | None = None
        self._established = False  # the worker has done something for this front-end
        self._waiting: Callable[[], None] | None = None
        self._rings: set[int] = set()
        self._mapped = False
        self._closed = False

    @property
    def front_end_pid(self) -> int:
        """The process at the other end."""
        return self._session.peer.pid

    def worker_serving(self) -> None:
        """A worker is there now; from any thread."""
        self._session.reactor.call_soon(self._resume)

    def worker_ended(self, worker: Worker) -> None:
        """The worker died, and with it what it knew of the rings; from any thread."""
        self._session.reactor.call_soon(lambda: self._abort(worker))

    def set_mem_table(self, regions: Sequence[MemoryRegion], completion: Completion) -> None:
        """Replace the whole memory table."""
        if len(regions) > lib.VKS_IPC_REGIONS_MAX:
            completion.failed(f"{len(regions)} memory regions, at most {lib.VKS_IPC_REGIONS_MAX}")
            return
        body, fds = mem_table(regions), [region.fd for region in regions]

        def finish(_message: Message) -> None:
            completion.done()

        self._mapped = True
        self._call(lambda worker: worker.post(lib.VKS_WORKER_MEM_TABLE, body, fds), finish, completion.failed)

    def start_ring(self, vring: Vring, completion: Completion) -> None:
        """Serve a ring from now on."""
        body, fds = ring_start(vring)

        def finish(_message: Message) -> None:
            completion.done()

        self._rings.add(vring.index)
        self._call(lambda worker: worker.post(lib.VKS_WORKER_RING_START, body, fds), finish, completion.failed)

    def stop_ring(self, index: int, completion: Completion) -> None:
        """Stop a ring; a worker that does not is killed, and its base read from state memory."""
        self._rings.discard(index)
        worker = self._worker
        if worker is None:
            completion.done(self._owner.next_base(index))
            return
        cancel = self._session.reactor.call_later(STOP_KILL_S, worker.kill)

        def finish(message: Message) -> None:
            cancel()
            completion.done(message.body.base)

        def fail(reason: str) -> None:
            cancel()
            log.error("guest %s: ring %d did not stop, worker ended: %s", self._session.guest, index, reason)
            worker.kill()
            completion.done(self._owner.next_base(index))

        self._call(lambda bound: bound.post(lib.VKS_WORKER_RING_STOP, ring_body(index)), finish, fail)

    def set_ring_fd(self, index: int, role: RingFd, fd: int | None, completion: Completion) -> None:
        """Replace a descriptor of a running ring."""
        if role is RingFd.KICK and fd is None:
            completion.failed("a ring without kick descriptor is not served")
            return
        fds = [] if fd is None else [fd]

        def finish(_message: Message) -> None:
            completion.done()

        self._call(lambda worker: worker.post(RING_FD_TYPES[role], ring_body(index), fds), finish, completion.failed)

    def close(self, reason: str) -> None:
        """Stop every ring and drop every mapping; the worker stays for the next connection."""
        self._closed = True
        self._waiting = None
        worker = self._worker
        if worker is not None:
            last = [worker.post(lib.VKS_WORKER_RING_STOP, ring_body(index)) for index in sorted(self._rings)]
            if self._mapped:
                last.append(worker.post(lib.VKS_WORKER_MEM_TABLE, mem_table([])))
            if last:
                self._kill_unless_done(worker, last[-1])
        self._owner.session_closed(self)
        log.info("guest %s: front-end pid %d gone: %s", self._session.guest, self.front_end_pid, reason)

    def _kill_unless_done(self, worker: Worker, last: Future[Message]) -> None:
        """End a worker that does not let go of a guest's memory."""
        cancel = self._session.reactor.call_later(CLOSE_KILL_S, worker.kill)

        def done(future: Future[Message]) -> None:
            cancel()
            if future.exception() is not None:
                worker.kill()

        last.add_done_callback(done)

    def _call(self, send: Send, finish: Finish, fail: Fail) -> None:
        """Post one message; exactly one of *finish* and *fail* follows, unless the session is closed before."""
        if self._worker is None:
            self._worker = self._owner.serving
        worker = self._worker
        if worker is None:
            self._waiting = lambda: self._call(send, finish, fail)
            return

        def replied(future: Future[Message]) -> None:
            if self._closed:
                return
            error = future.exception()
            if error is None:
                self._established = True
                finish(future.result())
            elif isinstance(error, ProgramLostError) and not self._established:
                # It had died before it heard of this front-end: the next one will do.
                self._worker = None
                self._waiting = lambda: self._call(send, finish, fail)
                if self._owner.serving not in (None, worker):
                    self._resume()
            else:
                fail(str(error))

        send(worker).add_done_callback(lambda future: self._session.reactor.call_soon(lambda: replied(future)))

    def _resume(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting and not self._closed:
            waiting()

    def _abort(self, worker: Worker) -> None:
        if worker is self._worker and self._established and not self._closed:
            self._session.abort("the guest's worker ended")


def mem_table(regions: Sequence[MemoryRegion]) -> bytes:
    """Lay out a memory table; its descriptors go beside it."""
    entries = [
        {"gpa": region.gpa, "uva": region.uva, "size_bytes": region.size_bytes, "mmap_offset": region.mmap_offset}
        for region in regions
    ]
    return pack("vks_worker_mem_table", {"region_count": len(entries), "regions": entries})


def ring_start(vring: Vring) -> tuple[bytes, list[int]]:
    """Lay out a ring, and its descriptors in the order of the layout."""
    flags = (lib.VKS_RING_F_CALL if vring.call_fd is not None else 0) | (
        lib.VKS_RING_F_ERR if vring.err_fd is not None else 0
    )
    body = pack(
        "vks_worker_ring_start",
        {
            "queue": vring.index,
            "size": vring.size,
            "base": vring.base,
            "flags": flags,
            "features": vring.features,
            "desc_uva": vring.desc_uva,
            "avail_uva": vring.avail_uva,
            "used_uva": vring.used_uva,
        },
    )
    return body, [fd for fd in (vring.kick_fd, vring.call_fd, vring.err_fd) if fd is not None]


def ring_body(index: int) -> bytes:
    """Name a ring."""
    return pack("vks_worker_ring", {"queue": index})
