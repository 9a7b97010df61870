# SPDX-License-Identifier: Apache-2.0
"""Who is on the other end of the control socket: the kernel says it, the protocol carries it into each request.

uvicorn shows no peer for UNIX sockets. ``PeerProtocol`` asks for SO_PEERCRED when the connection is made (unix(7): the
credentials of whoever called connect) and puts the answer into the ``state`` of each request's scope, where no header
can reach it.
"""

import asyncio
import ctypes
import errno
import logging
import os
import socket
import struct
from dataclasses import dataclass
from typing import Any

from starlette.types import Scope
from uvicorn.protocols.http.h11_impl import H11Protocol

_UCRED = struct.Struct("=iII")  # struct ucred: pid, uid, gid
_GID = struct.Struct("=I")
_SO_PEERGROUPS = 59
_GROUPS_MAX = 65536  # NGROUPS_MAX
_STATE = "peer"
_FIRST_REQUEST_S = 0.5

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected."""

    pid: int
    uid: int
    gid: int
    groups: frozenset[int] = frozenset()
    """Its group and its supplementary groups."""


class PeerProtocol(H11Protocol):
    """HTTP/1.1 on a UNIX socket, with the peer in each request's state."""

    _is_last = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel before the first byte is read."""
        super().connection_made(transport)
        self.app_state = {**self.app_state, _STATE: read_peer(transport.get_extra_info("socket"))}

    def shutdown(self) -> None:
        """End when nothing is left to answer; whoever just connected and is about to ask is answered first."""
        if self.cycle is not None:
            super().shutdown()
            return
        self._is_last = True
        self.loop.call_later(_FIRST_REQUEST_S, self._shut_down_unasked)

    def handle_events(self) -> None:
        """Take what was received; a first request that came after the end began is the last."""
        super().handle_events()
        if self._is_last and self.cycle is not None:
            self.cycle.keep_alive = False

    def _shut_down_unasked(self) -> None:
        if self.cycle is None and not self.transport.is_closing():
            super().shutdown()


def read_peer(sock: Any) -> Peer:
    """Ask the kernel who is on the other end of a socket (unix(7): as it was at connect)."""
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        supplementary = _read_groups(sock.fileno())
    except OSError as error:
        # Only its user and its own group count then.
        _logger.warning("groups of pid %d are not known: %s", pid, error.strerror)
        supplementary = b""
    groups = {group for (group,) in _GID.iter_unpack(supplementary)}
    return Peer(pid, uid, gid, frozenset({gid, *groups}))


def _read_groups(fd: int) -> bytes:
    """Return the peer's supplementary groups as an array of gid_t.

    Not by Python's getsockopt, which has room for 256 of them; a user may be in 65536.

    Raises:
        OSError: the kernel does not tell.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    size = ctypes.c_uint32(0)
    # Too little room is answered with how much it takes, which stays as it is: they are those of the connect.
    for _ in range(2):
        array = ctypes.create_string_buffer(size.value)
        if libc.getsockopt(fd, socket.SOL_SOCKET, _SO_PEERGROUPS, array, ctypes.byref(size)) == 0:
            return array.raw[: size.value]
        reason = ctypes.get_errno()
        if reason != errno.ERANGE or size.value > _GROUPS_MAX * _GID.size:
            break
    raise OSError(reason, os.strerror(reason))


def peer_of(scope: Scope) -> Peer | None:
    """Return who made the request; None where it came by no socket of ours."""
    state: dict[str, Any] = scope.get("state", {})
    peer = state.get(_STATE)
    return peer if isinstance(peer, Peer) else None
