# SPDX-License-Identifier: Apache-2.0
"""One connected front-end: its socket, every descriptor it ever sent, and the device behind it.

Does the I/O the state machine has none of. Owns the socket, the peer's pidfd and all received descriptors; what the
machine no longer holds is closed after each step, everything at the end. With a keeper the session can be carried on
by another process at any moment, see ``saved``; a message that comes in pieces is the exception.
"""

import logging
import os
import socket
import time
from collections.abc import Callable

from .backend import CALL_MS, STOP_RING_MS, BackendFactory, Peer, Reactor, SessionKeeper, VringBackend
from .calls import PendingCall, issue
from .descriptors import close_received
from .device_state import DeviceState
from .effects import Call, Effect, Reply, StopRing
from .errors import ProtocolError
from .machine import BackEndMachine
from .protocol import Request
from .reader import MessageReader, Whole, close_all
from .saved import Conversation, Step, save

_log = logging.getLogger(__name__)

# Reads of one wake-up: a front-end that never stops talking must not keep the others from being heard.
_READS_PER_WAKE_MAX = 32
# Messages that no front-end sends twice in a row: the second one would be a breach.
_NEVER_REPEATED = frozenset({Request.SET_OWNER, Request.ADD_MEM_REG, Request.REM_MEM_REG})


class Connection:
    """A session; made for one connected socket, lives on the reactor's thread, ends with ``close``."""

    def __init__(
        self,
        sock: socket.socket,
        peer: Peer,
        state: DeviceState,
        *,
        guest: str,
        reactor: Reactor,
        keeper: SessionKeeper | None,
        on_closed: Callable[["Connection"], None],
    ) -> None:
        """Take over *sock*, the peer's pidfd and the descriptors of *state*."""
        self.guest = guest
        self.peer = peer
        self.reactor = reactor
        self._sock = sock
        self._reader = MessageReader(sock)
        self._machine = BackEndMachine(state)
        self._keeper = keeper
        self._on_closed = on_closed
        self._owned_fds = state.held_fds()
        self._backend: VringBackend | None = None
        self._taking: Whole | None = None
        self._reply = b""
        self._carried: Conversation | None = None
        self._waiting: PendingCall | None = None
        self._cancel_timer: Callable[[], None] | None = None
        self._reading = False
        self._watching = False
        self._closed = False

    def open(self, factory: BackendFactory) -> None:
        """Make the device side and start to listen.

        Raises:
            OSError: the factory has refused; the connection is closed.
        """
        if self._make_backend(factory):
            self._keep(Conversation())
            self._set_reading(wanted=True)

    def carry_on(self, factory: BackendFactory, conversation: Conversation) -> None:
        """Like ``open``, of a session that another process had: the front-end is to notice nothing.

        Raises:
            OSError: the factory has refused; the connection is closed.
        """
        if self._make_backend(factory):
            self._carried = conversation
            try:
                self._run(self._machine.carry_on())
            except ProtocolError as error:
                self.close(f"front-end broke the protocol: {error}")

    def _make_backend(self, factory: BackendFactory) -> bool:
        try:
            backend = factory.open_session(self)
        except BaseException:
            self.close("refused by the device")
            raise
        if self._closed:
            backend.close("aborted while it was opened")
            return False
        self._backend = backend
        self.reactor.add_reader(self.peer.pidfd, lambda: self.close("front-end died"))
        self._watching = True
        return True

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
            if self._watching:
                self.reactor.remove_reader(self.peer.pidfd)
            if self._keeper is not None:
                self._keeper.forget()
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
        """Look for a message, or a piece of one, and act on it; False when there is nothing (more) to read."""
        try:
            whole = self._reader.look() if self._machine.is_between_messages else None
            if whole is None:
                self._read_piece()
                return True
        except BlockingIOError:
            return False
        except EOFError:
            self.close("front-end closed the connection")
            return False
        except OSError as error:
            self.close(f"connection lost: {error.strerror}")
            return False
        self._owned_fds.update(whole.fds)
        self._taking = whole
        effects = self._machine.receive(whole.header, whole.fds)
        if whole.payload:
            effects = self._machine.receive(whole.payload)
        self._run(effects)
        return True

    def _read_piece(self) -> None:
        """A front-end of our days sends a message at once; what one says in pieces nobody can carry on."""
        if self._keeper is not None:
            self._keeper.forget()
        data, fds = self._reader.read(self._machine.bytes_wanted)
        self._owned_fds.update(fds)
        self._run(self._machine.receive(data, fds))

    def _release_fds(self, held: set[int]) -> None:
        for fd in self._owned_fds - held:
            close_received(fd)
        self._owned_fds &= held

    # -- acting ------------------------------------------------------------------------------------------------------

    def resume(self, completion: PendingCall) -> None:
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
            completion = PendingCall(call, self.guest, self.resume)
            issue(self._device(), call, completion)
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
            if self._machine.is_between_messages:
                self._settle()

    def _settle(self) -> None:
        """The device has done what the message asks for: take it, and answer."""
        whole, reply, carried = self._taking, self._reply, self._carried
        self._taking, self._reply, self._carried = None, b"", None
        try:
            if carried is not None:
                self._finish(carried)
                return
            if whole is not None:
                self._keep(_taking(whole, reply))
                # Of a region that goes the descriptor may come along.
                with_fds = None if whole.request is Request.REM_MEM_REG else bool(whole.fds)
                self._reader.take(whole.size_bytes, with_fds=with_fds)
            self._answer(reply)
        except EOFError:
            self.close("front-end closed the connection")
        except OSError as error:
            self.close(f"connection lost: {error.strerror}")

    def _answer(self, reply: bytes) -> None:
        if reply:
            self._keep(Conversation(Step.OWING, reply=reply))
            self._send(reply)
        if not self._closed:
            self._keep(Conversation())

    def _keep(self, conversation: Conversation) -> None:
        if self._keeper is not None:
            self._keeper.keep(*save(self._sock.fileno(), self.peer, self._machine.state, conversation))

    def _finish(self, conversation: Conversation) -> None:
        """Do what another process had not done yet of a message's end, then listen."""
        self._end_message(conversation)
        if not self._closed:
            self._set_reading(wanted=True)

    def _end_message(self, conversation: Conversation) -> None:
        if conversation.step is Step.TAKING and conversation.reply:
            # The front-end waits for its answer: what is there can only be that message.
            if self._reader.has_input():
                self._reader.take(conversation.size_bytes)
            self._answer(conversation.reply)
            return
        if conversation.step is Step.TAKING and conversation.request in _NEVER_REPEATED and self._reader.has_input():
            whole = self._reader.look()
            if whole is not None:
                close_all(whole.fds)
                if whole.digest == conversation.digest:
                    self._reader.take(whole.size_bytes)
        # Any other message without an answer can be served twice.
        if conversation.step is Step.OWING and not (self._reader.has_input() or self._reader.has_unread_output()):
            _log.error(
                "guest %s: nobody knows whether its front-end has its last answer; hint: exchange its device "
                "(vmm-keystore qemu-args %s --replug)",
                self.guest,
                self.guest,
            )
            self.close("its conversation cannot be carried on")
            return
        self._keep(Conversation())

    def _emit(self, effects: list[Effect]) -> Call | None:
        """Note the reply and log faults; the call that has to complete next, if there is one."""
        for effect in effects:
            if isinstance(effect, Call):
                return effect
            if isinstance(effect, Reply):
                self._reply = effect.data
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

    def _device(self) -> VringBackend:
        if self._backend is None:
            raise AssertionError("a call without a device")
        return self._backend

    def _wait_for(self, completion: PendingCall) -> None:
        self._waiting = completion
        self._set_reading(wanted=False)
        name = type(completion.call).__name__
        self._cancel_timer = self.reactor.call_later(
            CALL_MS / 1000, lambda: self.close(f"device did not complete {name} within {CALL_MS} ms")
        )

    def _note_lateness(self, completion: PendingCall) -> None:
        took_ms = (time.monotonic() - completion.started_s) * 1000
        if isinstance(completion.call, StopRing) and took_ms > STOP_RING_MS:
            _log.warning("guest %s: ring %d took %.0f ms to stop", self.guest, completion.call.index, took_ms)

    def _stop_timer(self) -> None:
        if self._cancel_timer is not None:
            self._cancel_timer()
            self._cancel_timer = None


def _taking(whole: Whole, reply: bytes) -> Conversation:
    return Conversation(Step.TAKING, whole.request, whole.size_bytes, "" if reply else whole.digest, reply)
