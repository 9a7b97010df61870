# SPDX-License-Identifier: Apache-2.0
"""A control socket to one of our programs: requests with tags, replies to futures, events to a callback.

Any thread may send; replies and events are read on the loop's thread, so futures complete there. A program that sends
what is no message, or lets its socket fill up, loses the connection: whoever owns it then ends the program.
"""

import array
import errno
import itertools
import logging
import os
import select
import socket
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError

from vmm_keystore.workers.errors import ProgramLostError, ProgramRefusedError, ProtocolError
from vmm_keystore.workers.ipc import BYTES_MAX, FDS_MAX, REPLY, Form, Message, pack_message, unpack_message
from vmm_keystore.workers.loop import Loop
from vmm_keystore.workers.passed_fds import ancillary_bytes, passed_fds

log = logging.getLogger(__name__)

PACKETS_A_TURN = 32


class Connection:
    """One control socket, owned together with every descriptor that arrives unasked."""

    def __init__(
        self,
        loop: Loop,
        sock: socket.socket,
        forms: Mapping[int, Form],
        *,
        name: str,
        on_event: Callable[[Message], None],
        on_lost: Callable[[str], None],
    ) -> None:
        self._loop = loop
        self._socket = sock
        self._forms = forms
        self._name = name
        self._on_event = on_event
        self._on_lost = on_lost
        self._tags = itertools.count(1)
        self._pending: dict[int, tuple[int, Future[Message]]] = {}
        self._lock = threading.Lock()
        self._closed = False
        loop.add_reader(sock.fileno(), self._read)

    @property
    def closed(self) -> bool:
        """Whether it is over; true before the first of its open requests fails."""
        return self._closed

    def fileno(self) -> int:
        """The socket; -1 once it is closed."""
        return self._socket.fileno()

    def post(
        self, message_type: int, body: bytes = b"", fds: Sequence[int] = (), *, wait_ms: int = 0
    ) -> Future[Message]:
        """Send a request; its future gets the reply, an errno reply as ProgramRefusedError.

        Args:
            message_type: a type of ``ipc.h`` that is answered.
            body: what follows the head.
            fds: lent for the call; the kernel duplicates them.
            wait_ms: how long to wait for room in the socket; 0 on threads that must not wait.
        """
        future: Future[Message] = Future()
        with self._lock:
            tag = next(self._tags)
            packet = pack_message(message_type, tag, body)
            if self._closed:
                future.set_exception(ProgramLostError(f"{self._name} is gone"))
                return future
            self._pending[tag] = (message_type, future)
            try:
                self._send(packet, fds, wait_ms)
            except OSError as error:
                del self._pending[tag]
                reason = f"{self._name} takes no message: {os.strerror(error.errno or errno.EIO)}"
            else:
                return future
        future.set_exception(ProgramLostError(reason))
        self.close(reason)
        return future

    def request(
        self, message_type: int, body: bytes = b"", fds: Sequence[int] = (), *, timeout_s: float = 5.0
    ) -> Message:
        """Send a request and wait for the reply; never on the loop's thread.

        Raises:
            ProgramRefusedError: the reply carries an error.
            ProgramLostError: the program is gone or did not answer in time; the connection is closed then.
        """
        if self._loop.is_own_thread():
            raise RuntimeError("the loop's thread cannot wait for itself")
        try:
            return self.post(message_type, body, fds, wait_ms=int(timeout_s * 1000)).result(timeout_s)
        except FutureTimeoutError:
            reason = f"{self._name} did not answer 0x{message_type:x} in {timeout_s} s"
            self.close(reason)
            raise ProgramLostError(reason) from None

    def close(self, reason: str) -> None:
        """End the connection; open requests fail, the owner is told once. From any thread."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            pending = [future for _type, future in self._pending.values()]
            self._pending.clear()
            # Not closed yet: the loop may be about to read it.
            self._shutdown()
        self._loop.call_soon(self._release)
        for future in pending:
            future.set_exception(ProgramLostError(reason))
        self._on_lost(reason)

    def _shutdown(self) -> None:
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            return  # the other end was faster

    def _release(self) -> None:
        self._loop.remove_reader(self._socket.fileno())
        self._socket.close()

    def _send(self, packet: bytes, fds: Sequence[int], wait_ms: int) -> None:
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        try:
            self._socket.sendmsg([packet], ancillary, socket.MSG_NOSIGNAL)
        except BlockingIOError:
            if not wait_ms or not wait_writable(self._socket, wait_ms):
                raise
            self._socket.sendmsg([packet], ancillary, socket.MSG_NOSIGNAL)

    def _read(self) -> None:
        for _ in range(PACKETS_A_TURN):
            if self._closed:
                return
            try:
                message = receive_message(self._socket, self._forms, socket.MSG_DONTWAIT)
            except BlockingIOError:
                return
            except (OSError, ProtocolError) as error:
                self.close(f"{self._name}: {error}")
                return
            if message is None:
                self.close(f"{self._name} ended")
                return
            self._dispatch(message)

    def _dispatch(self, message: Message) -> None:
        if message.tag == 0 and not message.type & REPLY:
            self._on_event(message)
            return
        with self._lock:
            asked_type, future = self._pending.pop(message.tag, (0, None))
        if future is None or message.type != asked_type | REPLY:
            for fd in message.fds:
                os.close(fd)
            reason = f"{self._name} answered 0x{message.type:x} to nothing"
            if future is not None:
                future.set_exception(ProgramLostError(reason))
            self.close(reason)
        elif message.error != 0:
            future.set_exception(ProgramRefusedError(f"{self._name} refused 0x{asked_type:x}", abs(message.error)))
        else:
            future.set_result(message)


def receive_message(sock: socket.socket, forms: Mapping[int, Form], flags: int = 0) -> Message | None:
    """Take one packet and check it; None when the other end is gone. Its descriptors are the caller's.

    Raises:
        ProtocolError: it is no message of these forms; its descriptors are closed.
        OSError: as of recvmsg with *flags*.
    """
    packet, ancillary, got, _address = sock.recvmsg(
        BYTES_MAX, ancillary_bytes(FDS_MAX), socket.MSG_CMSG_CLOEXEC | flags
    )
    fds = passed_fds(ancillary)
    if not packet and not fds:
        return None
    try:
        # A packet cut short, or a descriptor too many, is not what its head says.
        whole = not got & (socket.MSG_TRUNC | socket.MSG_CTRUNC)
        return unpack_message(packet if whole else b"", fds, forms)
    except ProtocolError:
        for fd in fds:
            os.close(fd)
        raise


def wait_writable(sock: socket.socket, wait_ms: int) -> bool:
    """Wait until a packet fits, at most *wait_ms*."""
    poller = select.poll()
    poller.register(sock, select.POLLOUT)
    return bool(poller.poll(wait_ms))
