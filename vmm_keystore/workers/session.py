# SPDX-License-Identifier: Apache-2.0
"""What a connected front-end asks of its guest's worker: ``vhost_user``'s calls as messages of ``ipc.h``.

Everything here runs on the vhost-user thread and never waits: a reply comes back as a completion through the reactor.
What the front-end wants is kept (memory table, rings, descriptors), so that a successor can be told at once; while the
guest has no worker a call is complete as soon as it is kept, and requests wait in guest memory.
"""

import logging
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass, replace
from typing import Protocol

from vmm_keystore._vks import lib
from vmm_keystore.vhost_user.backend import Completion, MemoryRegion, RingFd, Session, Vring
from vmm_keystore.workers.errors import ProgramLostError
from vmm_keystore.workers.ipc import Message
from vmm_keystore.workers.ring_messages import mem_table, ring_body, ring_start
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

Post = Callable[[Worker], Future[Message]]


@dataclass(frozen=True, slots=True)
class Call:
    """A call under way at a worker: exactly one of the three ends it."""

    worker: Worker
    done: Callable[[Message], None]
    refused: Callable[[str], None]
    lost: Callable[[], None]
    """The worker died over it, and is gone: nothing of the guest is mapped any more, no ring is touched."""


class SessionOwner(Protocol):
    """The guest, as far as its front-end is concerned."""

    @property
    def serving(self) -> Worker | None:
        """The worker that has its keys and snapshot, if there is one."""

    def next_base(self, queue: int, start_id: int, base: int) -> int:
        """Tell where a ring goes on whose worker is dead, *base* if none ever began with *start_id*."""

    def session_closed(self, session: "WorkerSession") -> None:
        """Forget the session."""


class WorkerSession:
    """``VringBackend`` of one connection; outlives the guest's workers."""

    def __init__(self, owner: SessionOwner, session: Session) -> None:
        self._owner = owner
        self._session = session
        self._worker: Worker | None = None  # the one that was told what is wanted
        self._table: Sequence[MemoryRegion] = ()
        self._rings: dict[int, Vring] = {}  # those that are to run, with their latest descriptors
        self._call: Call | None = None
        self._closed = False

    @property
    def front_end_pid(self) -> int:
        """The process at the other end."""
        return self._session.peer.pid

    def worker_changed(self) -> None:
        """The guest's worker ended, or another one serves now; from any thread, after the fact."""
        self._session.reactor.call_soon(self._follow)

    def abort(self, reason: str) -> None:
        """End the connection: its rings cannot go on; from any thread."""
        self._session.reactor.call_soon(lambda: None if self._closed else self._session.abort(reason))

    def set_mem_table(self, regions: Sequence[MemoryRegion], completion: Completion) -> None:
        """Replace the whole memory table."""
        if len(regions) > lib.VKS_IPC_REGIONS_MAX:
            completion.failed(f"{len(regions)} memory regions, at most {lib.VKS_IPC_REGIONS_MAX}")
            return
        self._attach()
        self._table = tuple(regions)

        def refused(reason: str) -> None:
            self._table = ()
            completion.failed(reason)

        self._ask(self._post_table, completion, refused)

    def start_ring(self, vring: Vring, completion: Completion) -> None:
        """Serve a ring from now on."""
        self._attach()
        self._rings[vring.index] = vring

        def refused(reason: str) -> None:
            self._rings.pop(vring.index, None)
            completion.failed(reason)

        self._ask(lambda worker: self._post_start(worker, vring), completion, refused)

    def stop_ring(self, index: int, completion: Completion) -> None:
        """Stop a ring; a worker that does not is killed, and its base read from state memory."""
        self._attach()
        ring = self._rings.pop(index)
        worker = self._worker

        def gone() -> None:
            completion.done(self._owner.next_base(index, ring.start_id, ring.base))

        if worker is None:
            gone()
            return
        cancel = self._session.reactor.call_later(STOP_KILL_S, worker.kill)

        def done(message: Message) -> None:
            cancel()
            completion.done(message.body.base)

        def lost() -> None:
            cancel()
            log.warning("guest %s: worker ended while ring %d was stopped", self._session.guest, index)
            gone()

        def refused(reason: str) -> None:
            log.error("guest %s: ring %d did not stop, worker killed: %s", self._session.guest, index, reason)
            worker.kill()
            self._lose(Call(worker, done, refused, lost))

        self._post(Call(worker, done, refused, lost), worker.post(lib.VKS_WORKER_RING_STOP, ring_body(index)))

    def set_ring_fd(self, index: int, role: RingFd, fd: int | None, completion: Completion) -> None:
        """Replace a descriptor of a running ring."""
        if role is RingFd.KICK and fd is None:
            completion.failed("a ring without kick descriptor is not served")
            return
        self._attach()
        self._rings[index] = with_fd(self._rings[index], role, fd)
        fds = [] if fd is None else [fd]
        message_type = RING_FD_TYPES[role]
        self._ask(lambda worker: worker.post(message_type, ring_body(index), fds), completion, completion.failed)

    def close(self, reason: str) -> None:
        """Stop every ring and drop every mapping; the worker stays for the next connection."""
        self._closed = True
        self._call = None
        worker = self._worker
        if worker is not None:
            last = [worker.post(lib.VKS_WORKER_RING_STOP, ring_body(index)) for index in sorted(self._rings)]
            if self._table:
                last.append(worker.post(lib.VKS_WORKER_MEM_TABLE, mem_table(())))
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

    # -- workers come and go -----------------------------------------------------------------------------------------

    def _follow(self) -> None:
        """End what the dead worker left open, then tell the next one, if it is there."""
        if self._closed:
            return
        if self._worker is not None and self._worker.ended.is_set():
            self._worker = None
            call = self._call
            if call is not None:
                self._lose(call)
        self._attach()

    def _attach(self) -> None:
        """Tell the serving worker all that is wanted, unless it was told."""
        if self._worker is not None:
            return
        worker = self._worker = self._owner.serving
        if worker is None:
            return
        if self._table:
            self._watch(worker, "memory table", self._post_table(worker))
        for vring in self._rings.values():
            self._watch(worker, f"ring {vring.index}", self._post_start(worker, vring))

    def _post_table(self, worker: Worker) -> Future[Message]:
        fds = [region.fd for region in self._table]
        return worker.post(lib.VKS_WORKER_MEM_TABLE, mem_table(self._table), fds)

    def _post_start(self, worker: Worker, vring: Vring) -> Future[Message]:
        base = self._owner.next_base(vring.index, vring.start_id, vring.base)
        body, fds = ring_start(replace(vring, base=base))
        return worker.post(lib.VKS_WORKER_RING_START, body, fds)

    def _watch(self, worker: Worker, what: str, future: Future[Message]) -> None:
        """The front-end was told long ago that this works."""

        def replied() -> None:
            error = future.exception()
            if error is None or isinstance(error, ProgramLostError) or self._closed or worker is not self._worker:
                return
            self._session.abort(f"the next worker does not take the {what}: {error}")

        future.add_done_callback(lambda _future: self._session.reactor.call_soon(replied))

    # -- one call ----------------------------------------------------------------------------------------------------

    def _ask(self, send: Post, completion: Completion, refused: Callable[[str], None]) -> None:
        """Post what was kept just now; done at once when there is nobody to tell."""
        worker = self._worker
        if worker is None:
            completion.done()
            return
        self._post(Call(worker, lambda _message: completion.done(), refused, completion.done), send(worker))

    def _post(self, call: Call, future: Future[Message]) -> None:
        self._call = call

        def replied() -> None:
            if self._closed or self._call is not call:
                return
            self._call = None
            error = future.exception()
            if error is None:
                call.done(future.result())
            elif isinstance(error, ProgramLostError):
                self._lose(call)
            else:
                call.refused(str(error))

        future.add_done_callback(lambda _future: self._session.reactor.call_soon(replied))

    def _lose(self, call: Call) -> None:
        """End a call whose worker is dead or about to be; not before its pidfd says so: it may still be writing."""
        if call.worker.ended.is_set():
            self._call = None
            call.lost()
        else:
            self._call = call


def with_fd(vring: Vring, role: RingFd, fd: int | None) -> Vring:
    """Replace one of its descriptors."""
    if role is RingFd.CALL:
        return replace(vring, call_fd=fd)
    if role is RingFd.ERR:
        return replace(vring, err_fd=fd)
    return vring if fd is None else replace(vring, kick_fd=fd)
