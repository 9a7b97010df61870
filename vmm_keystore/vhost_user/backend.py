# SPDX-License-Identifier: Apache-2.0
"""What a device gives to the vhost-user back-end: the one interface between this package and its user.

This file knows values and call signatures only; no I/O, no thread, no device.

How the parts meet::

    server = Server()                              # one thread, one selectors loop, all guests
    server.start()
    server.add_guest(GuestSocket(name, path, ...), factory)       # from any thread
        front-end connects, peer checked and pinned
        backend = factory.open_session(session)    # on the loop's thread
        backend.set_mem_table(regions, completion)
        backend.start_ring(vring, completion)
        backend.set_ring_fd(index, role, fd, completion)          # live rings only
        backend.stop_ring(index, completion)       # completion.done(base)
        backend.close(reason)                      # front-end gone, whatever the cause

Rules of the calls:

* Every method is called on the loop's thread and returns at once. What takes time (a worker's acknowledgement) ends
  with exactly one call of ``completion.done()`` or ``completion.failed()``, before the method returns or later, on the
  loop's thread; from another thread go through ``session.reactor.call_soon``. To wait for a worker's control socket
  register it with ``session.reactor.add_reader``.
* At most one call is under way per session; the front-end's next message is not read before its completion. The
  reply or acknowledgement to the front-end leaves after the completion, never earlier. Other guests go on.
* ``stop_ring`` must complete within ``STOP_RING_MS`` (a slower answer freezes QEMU); a backend that cannot get its
  worker to stop kills it and completes with the base it knows. Any other call must complete within ``CALL_MS``; a
  session that has waited so long is closed.
* File descriptors are lent, not given. They stay open until the front-end replaces them, the ring is stopped, the
  memory table changes or ``close`` has returned, so the latest calls may be replayed to a replacement worker at any
  time in between. A backend that needs one for longer duplicates it. A call fd may be an eventfd or a pipe
  (user-mode Linux); writing 8 bytes signals either.
* ``set_mem_table`` always carries the whole table. Rings run on while it changes: whoever holds the old mappings drops
  them before completing. A ring whose addresses left the table is stopped first and started again when they return.
* ``start_ring``: addresses are front-end virtual (``uva``), aligned, in one region of the latest table each. Requests
  that were available before the start are served without waiting for a kick. ``features`` is what SET_FEATURES said;
  stock cryptodev-vhost-user always says 0x40000000, whatever the guest negotiated.
* After ``failed()`` of a start the ring counts as stopped; of ``set_mem_table`` the table counts as empty.
* A session may outlive the process that had it: with a ``SessionKeeper`` another one goes on where it ended. The
  device in there is told the table and the rings that ran, with the ``start_id`` that they had.
* ``close`` is the last call; a new session for the guest may be opened right after it returned. A completion that is
  still open then is void.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

STOP_RING_MS = 10
CALL_MS = 5000


@dataclass(frozen=True, slots=True)
class MemoryRegion:
    """A piece of guest memory: *size_bytes* of *fd* from *mmap_offset* on, at *gpa* for the guest."""

    gpa: int
    size_bytes: int
    uva: int
    mmap_offset: int
    fd: int


@dataclass(frozen=True, slots=True)
class Vring:
    """A split virtqueue as the front-end describes it.

    *base* is the next available index to serve. *start_id* names this start: no other one has it, in any session,
    unless another process repeats it, which goes on with the ring then.
    """

    index: int
    size: int
    desc_uva: int
    avail_uva: int
    used_uva: int
    base: int
    features: int
    start_id: int
    kick_fd: int
    call_fd: int | None
    err_fd: int | None


class RingFd(Enum):
    """Which of a ring's three descriptors."""

    KICK = "kick"
    CALL = "call"
    ERR = "err"


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected, as the kernel told at accept; *pidfd* stays valid when the pid is reused."""

    pid: int
    uid: int
    gid: int
    pidfd: int


class Completion(Protocol):
    """How a backend ends a call; exactly one of the two, once."""

    def done(self, base: int = 0) -> None:
        """Report success; *base* only from stop_ring: the next available index to serve."""

    def failed(self, reason: str) -> None:
        """Report that the call had no effect; *reason* goes to the log."""


class VringBackend(Protocol):
    """The device side of one session, see the head of this file for the rules."""

    def set_mem_table(self, regions: Sequence[MemoryRegion], completion: Completion) -> None:
        """Replace the whole memory table; no regions: drop every mapping."""

    def start_ring(self, vring: Vring, completion: Completion) -> None:
        """Serve *vring* from now on."""

    def stop_ring(self, index: int, completion: Completion) -> None:
        """Take nothing more from the ring, touch it no more, complete with its base."""

    def set_ring_fd(self, index: int, role: RingFd, fd: int | None, completion: Completion) -> None:
        """Replace a descriptor of a running ring; a new call fd is signalled once. None: no such descriptor."""

    def close(self, reason: str) -> None:
        """The session is over: stop every ring, drop every mapping."""


class Reactor(Protocol):
    """The loop all sessions share; everything but call_soon belongs to its thread."""

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call *callback* whenever *fd* is readable or hung up."""

    def remove_reader(self, fd: int) -> None:
        """Forget *fd*; call it before closing the descriptor."""

    def call_soon(self, callback: Callable[[], None]) -> None:
        """Run *callback* on the loop's thread; may be called from any thread."""

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Callable[[], None]:
        """Run *callback* after *delay_s*; the result cancels it."""


class Session(Protocol):
    """What a backend may know and do about its front-end."""

    @property
    def guest(self) -> str:
        """The name the socket was made for."""

    @property
    def peer(self) -> Peer:
        """The pinned front-end process."""

    @property
    def reactor(self) -> Reactor:
        """The loop this session lives on."""

    def fileno(self) -> int:
        """The vhost-user socket, lent like every other descriptor."""

    def abort(self, reason: str) -> None:
        """End the session: close() of the backend is called, the front-end loses its connection."""


class SessionKeeper(Protocol):
    """Remembers a session so that another process can go on with it. No method raises or waits."""

    def keep(self, content: bytes, fds: Sequence[int]) -> None:
        """Remember this instead of what was; it survives SIGKILL of this process once the method has returned.

        Args:
            content: what ``saved`` makes of the session.
            fds: the descriptors it refers to by position; lent. A number means the same file as in the call before, if
                it was among them.
        """

    def forget(self) -> None:
        """The session is over."""

    def keep_listening(self, fd: int) -> None:
        """Remember the listening socket, lent: whoever connects while no process serves it waits there."""

    def forget_listening(self) -> None:
        """The listening socket is gone."""


class BackendFactory(Protocol):
    """Makes the device side when a front-end has connected."""

    def open_session(self, session: Session) -> VringBackend:
        """Raise OSError to refuse the front-end."""
