# SPDX-License-Identifier: Apache-2.0
"""One connected front-end: its socket, every descriptor it ever sent, and the device behind it.

Does the I/O the state machine has none of. Owns the socket, the peer's pidfd and all received descriptors; what the
machine no longer holds is closed after each step, everything at the end. Reads exactly the header, then exactly the
payload: so descriptors always belong to the message they came with.
"""

import array
import logging
import os
import socket
import time
from collections.abc import Callable

from . import messages
from .backend import CALL_MS, STOP_RING_MS, BackendFactory, Peer, Reactor, VringBackend
from .descriptors import close_received
from .effects import Call, CallResult, Effect, Reply, SetMemTable, SetRingFd, StartRing, StopRing
from .errors import ProtocolError
from .machine import BackEndMachine
from .offer import Offer

_log = logging.getLogger(__name__)

_FD_BYTES = array.array("i").itemsize
# Reads of one wake-up: a front-end that never stops talking must not keep the others from being heard.
_READS_PER_WAKE_MAX = 32


class _Completion:
    """The end of one call of the device. Void once its connection is closed."""

    def __init__(self, connection: "Connection", call: Call) -> None:
        self.result: CallResult | None = None
        self.call = call
        self.started_s = time.monotonic()
        self._connection = connection

    def done(self, base: int = 0) -> None:
        """The call succeeded."""
        self._finish(CallResult(ok=True, base=base & 0xFFFF))

    def failed(self, reason: str) -> None:
        """The call had no effect."""
        _log.warning("guest %s: %s failed: %s", self._connection.guest, type(self.call).__name__, reason)
        self._finish(CallResult(ok=False))

    def _finish(self, result: CallResult) -> None:
        if self.result is not None:
            raise AssertionError("a call was completed twice")
        self.result = result
        self._connection.resume(self)


class Connection:
    """A session; made for one accepted socket, lives on the reactor's thread, ends with ``close``."""

    def __init__(
        self,
        sock: socket.socket,
        peer: Peer,
        *,
        guest: str,
        offer: Offer,
        reactor: Reactor,
        on_closed: Callable[["Connection"], None],
    ) -> None:
        """Take over *sock* and the peer's pidfd."""
        self.guest = guest
        self.peer = peer
        self.reactor = reactor
        self._sock = sock
        self._machine = BackEndMachine(offer)
        self._on_closed = on_closed
        self._owned_fds: set[int] = set()
        self._buffer = bytearray(messages.PAYLOAD_BYTES_MAX)
        self._backend: VringBackend | None = None
        self._waiting: _Completion | None = None
        self._cancel_timer: Callable[[], None] | None = None
        self._reading = False
        self._closed = False

    def open(self, factory: BackendFactory) -> None:
        """Make the device side and start to listen.

        Raises:
            OSError: the factory has refused; the connection is closed.
        """
        try:
            backend = factory.open_session(self)
        except BaseException:
            self.close("refused by the device")
            raise
        if self._closed:
            backend.close("aborted while it was opened")
            return
        self._backend = backend
        self._set_reading(wanted=True)
        self.reactor.add_reader(self.peer.pidfd, lambda: self.close("front-end died"))

    @property
    def socket(self) -> socket.socket:
        """The connected socket, for the listener to look at."""
        return self._sock

    def fileno(self) -> int:
        """The vhost-user socket."""
        return self._sock.fileno()

    def abort(self, reason: str) -> None:
        """End the session from the device's side."""
        self.close(reason)

    def close(self, reason: str) -> None:
        """End the session: device first, then every descriptor."""
        if self._closed:
            return
        self._closed = True
        _log.info("guest %s: session of pid %d ends: %s", self.guest, self.peer.pid, reason)
        self._set_reading(wanted=False)
        self._stop_timer()
        try:
            if self._backend is not None:
                self._backend.close(reason)
        finally:
            self._release_fds(set())
            if self._backend is not None:
                self.reactor.remove_reader(self.peer.pidfd)
            os.close(self.peer.pidfd)
            self._sock.close()
            self._on_closed(self)

    # -- reading -----------------------------------------------------------------------------------------------------

    def _set_reading(self, *, wanted: bool) -> None:
        if wanted and not self._reading:
            self.reactor.add_reader(self._sock.fileno(), self._on_readable)
        elif self._reading and not wanted:
            self.reactor.remove_reader(self._sock.fileno())
        self._reading = wanted

    def _on_readable(self) -> None:
        try:
            for _ in range(_READS_PER_WAKE_MAX):
                if self._closed or self._waiting is not None or not self._read_once():
                    return
        except ProtocolError as error:
            self.close(f"front-end broke the protocol: {error}")
        except Exception as error:
            self.close(f"internal error: {type(error).__name__}")
            raise

    def _read_once(self) -> bool:
        """Receive once and act on it; False when there is nothing (more) to read."""
        view = memoryview(self._buffer)[: self._machine.bytes_wanted]
        try:
            size_bytes, ancillary, flags, _ = self._sock.recvmsg_into(
                [view],
                socket.CMSG_SPACE(messages.FDS_MAX * _FD_BYTES),
                socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT,
            )
        except BlockingIOError:
            return False
        except OSError as error:
            self.close(f"connection lost: {error.strerror}")
            return False
        fds = self._take_fds(ancillary)
        if flags & socket.MSG_CTRUNC:
            raise ProtocolError("more descriptors than any message carries")
        if not size_bytes:
            self.close("front-end closed the connection")
            return False
        data = bytes(view[:size_bytes])
        view[:] = bytes(len(view))  # payloads may be guests' keys
        self._run(self._machine.receive(data, fds))
        return True

    def _take_fds(self, ancillary: list[tuple[int, int, bytes]]) -> list[int]:
        fds = array.array("i")
        for level, kind, data in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(data[: len(data) - len(data) % _FD_BYTES])
        self._owned_fds.update(fds)
        return list(fds)

    def _release_fds(self, held: set[int]) -> None:
        for fd in self._owned_fds - held:
            close_received(fd)
        self._owned_fds &= held

    # -- acting ------------------------------------------------------------------------------------------------------

    def resume(self, completion: _Completion) -> None:
        """Go on after a call that completed later than its method returned."""
        if self._closed or completion is not self._waiting or completion.result is None:
            return
        self._waiting = None
        self._stop_timer()
        try:
            self._note_lateness(completion)
            self._run(self._machine.complete(completion.result))
        except ProtocolError as error:
            self.close(f"front-end broke the protocol: {error}")
        except Exception as error:
            self.close(f"internal error: {type(error).__name__}")
            raise
        if not self._closed and self._waiting is None:
            self._set_reading(wanted=True)

    def _run(self, effects: list[Effect]) -> None:
        while effects:
            call = self._emit(effects)
            if self._closed or call is None:
                break
            completion = _Completion(self, call)
            self._issue(call, completion)
            if self._closed:
                return
            self._release_fds(self._machine.held_fds())
            if completion.result is None:
                self._wait_for(completion)
                return
            self._note_lateness(completion)
            effects = self._machine.complete(completion.result)
        if not self._closed:
            self._release_fds(self._machine.held_fds())

    def _emit(self, effects: list[Effect]) -> Call | None:
        """Send replies and log faults; the call that has to complete next, if there is one."""
        for effect in effects:
            if isinstance(effect, Call):
                return effect
            if isinstance(effect, Reply):
                self._send(effect.data)
            else:
                _log.warning("guest %s: ring %d cannot run: %s", self.guest, effect.index, effect.reason)
        return None

    def _send(self, data: bytes) -> None:
        if self._closed:
            return
        try:
            sent = self._sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
        except BlockingIOError:
            sent = 0
        except OSError as error:
            self.close(f"connection lost: {error.strerror}")
            return
        if sent != len(data):
            # Front-ends wait for each reply; hundreds of unread ones are an attempt to fill our memory.
            raise ProtocolError("front-end does not read its replies")

    def _issue(self, call: Call, completion: _Completion) -> None:
        backend = self._backend
        if backend is None:
            raise AssertionError("a call without a device")
        match call:
            case SetMemTable(regions=regions):
                backend.set_mem_table(regions, completion)
            case StartRing(vring=vring):
                backend.start_ring(vring, completion)
            case StopRing(index=index):
                backend.stop_ring(index, completion)
            case SetRingFd(index=index, role=role, fd=fd):
                backend.set_ring_fd(index, role, fd, completion)

    def _wait_for(self, completion: _Completion) -> None:
        self._waiting = completion
        self._set_reading(wanted=False)
        name = type(completion.call).__name__
        self._cancel_timer = self.reactor.call_later(
            CALL_MS / 1000, lambda: self.close(f"device did not complete {name} within {CALL_MS} ms")
        )

    def _note_lateness(self, completion: _Completion) -> None:
        took_ms = (time.monotonic() - completion.started_s) * 1000
        if isinstance(completion.call, StopRing) and took_ms > STOP_RING_MS:
            _log.warning("guest %s: ring %d took %.0f ms to stop", self.guest, completion.call.index, took_ms)

    def _stop_timer(self) -> None:
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None
