# SPDX-License-Identifier: Apache-2.0
"""The front-end's bytes and descriptors from its socket: whole messages are looked at first and taken later.

Reads exactly the header, then exactly the payload, so descriptors always belong to the message they came with. To
look is less exact: Linux then shows the descriptors of the next message where this one has none
(unix_stream_read_generic goes on to the next buffer). So they are asked for where the message announces some, and
whether it had any shows when it is taken.
"""

import array
import fcntl
import hashlib
import socket
import struct
import termios
from collections.abc import Iterable
from dataclasses import dataclass

from . import messages, protocol
from .descriptors import close_received
from .errors import ProtocolError
from .messages import Header
from .protocol import Request

_FD_BYTES = array.array("i").itemsize
_ANCILLARY_BYTES = socket.CMSG_SPACE(messages.FDS_MAX * _FD_BYTES)


@dataclass(frozen=True, slots=True)
class Whole:
    """A message that is still in the socket; whoever gets it owns its descriptors."""

    request: Request
    header: bytes
    payload: bytes
    fds: tuple[int, ...]

    @property
    def size_bytes(self) -> int:
        """Of header and payload."""
        return len(self.header) + len(self.payload)

    @property
    def digest(self) -> str:
        """What tells it from another message, descriptors apart."""
        return hashlib.sha256(self.header + self.payload).hexdigest()


class MessageReader:
    """Reads one socket, which stays the caller's. Never waits: BlockingIOError says that there is nothing."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._buffer = bytearray(protocol.HEADER_BYTES + messages.PAYLOAD_BYTES_MAX)

    def look(self) -> Whole | None:
        """The next message, without taking it; None when only a part of it is there.

        Raises:
            ProtocolError: it is not one.
            EOFError: the front-end has closed the connection.
            OSError: the connection is broken, or nothing is there.
        """
        head, _ = self._receive_bytes(protocol.HEADER_BYTES, socket.MSG_PEEK)
        if len(head) < protocol.HEADER_BYTES:
            return None
        header = Header.unpack(head)
        size_bytes = protocol.HEADER_BYTES + header.size_bytes
        # A guest's raw key never becomes an object.
        blank = header.request is Request.CREATE_CRYPTO_SESSION
        data, _ = self._receive_bytes(size_bytes, socket.MSG_PEEK, blank=blank)
        if len(data) < size_bytes:
            return None
        payload = data[protocol.HEADER_BYTES :]
        fds: list[int] = []
        if messages.fds_announced(header.request, messages.unpack_payload(header.request, payload)):
            _, fds = self._receive(size_bytes, socket.MSG_PEEK)
        return Whole(header.request, head, payload, tuple(fds))

    def take(self, size_bytes: int, *, with_fds: bool | None = None) -> None:
        """Take what was looked at from the socket; its descriptors are not received again.

        Raises:
            ProtocolError: it has descriptors, or has none, other than *with_fds* says.
            EOFError: it is not there.
            OSError: the connection is broken, or it is not there.
        """
        cut = 0
        while size_bytes:
            data, told = self._receive_bytes(size_bytes, 0, blank=True)
            cut |= told & socket.MSG_CTRUNC
            size_bytes -= len(data)
        if with_fds is not None and with_fds != bool(cut):
            raise ProtocolError("descriptors announced and sent differ")

    def read(self, size_bytes_max: int) -> tuple[bytes, list[int]]:
        """Take a piece of a message.

        Raises:
            ProtocolError: more descriptors than any message carries.
            EOFError: the front-end has closed the connection.
            OSError: the connection is broken, or nothing is there.
        """
        return self._receive(size_bytes_max, 0)

    def has_input(self) -> bool:
        """Whether the front-end has sent something, or closed the connection."""
        try:
            self._receive_bytes(1, socket.MSG_PEEK)
        except BlockingIOError:
            return False
        except (EOFError, OSError):
            return True
        return True

    def has_unread_output(self) -> bool:
        """Whether the front-end has not read yet all that was sent to it."""
        (unread_bytes,) = struct.unpack("=i", fcntl.ioctl(self._sock, termios.TIOCOUTQ, bytes(4)))
        return bool(unread_bytes)

    def _receive(self, size_bytes: int, flags: int) -> tuple[bytes, list[int]]:
        """Bytes and descriptors."""
        data, ancillary, told = self._recvmsg(size_bytes, flags, _ANCILLARY_BYTES)
        fds = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                fds.frombytes(content[: len(content) - len(content) % _FD_BYTES])
        if told & socket.MSG_CTRUNC:
            close_all(fds)
            raise ProtocolError("more descriptors than any message carries")
        if not data:
            close_all(fds)
            raise EOFError
        return data, list(fds)

    def _receive_bytes(self, size_bytes: int, flags: int, *, blank: bool = False) -> tuple[bytes, int]:
        """Bytes, or as many zeros, and what the kernel told: MSG_CTRUNC where it dropped descriptors."""
        data, _, told = self._recvmsg(size_bytes, flags, 0, blank=blank)
        if not data:
            raise EOFError
        return data, told

    def _recvmsg(
        self, size_bytes: int, flags: int, ancillary_bytes: int, *, blank: bool = False
    ) -> tuple[bytes, list[tuple[int, int, bytes]], int]:
        view = memoryview(self._buffer)[:size_bytes]
        flags |= socket.MSG_CMSG_CLOEXEC | socket.MSG_DONTWAIT
        got, ancillary, told, _ = self._sock.recvmsg_into([view], ancillary_bytes, flags)
        data = bytes(got) if blank else bytes(view[:got])
        view[:] = bytes(size_bytes)  # payloads may be guests' keys
        return data, ancillary, told


def close_all(fds: Iterable[int]) -> None:
    """Close descriptors that nobody needs."""
    for fd in fds:
        close_received(fd)
