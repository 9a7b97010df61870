# SPDX-License-Identifier: Apache-2.0
"""Who is on the other end of the control socket: the kernel says it, the protocol carries it into each request.

uvicorn shows no peer for UNIX sockets. ``PeerProtocol`` asks for SO_PEERCRED when the connection is made (unix(7): the
credentials of whoever called connect) and puts the answer into the ``state`` of each request's scope, where no header
can reach it.
"""

import asyncio
import logging
import socket
import struct
from dataclasses import dataclass
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from vmm_keystore.control.refusal import refuse
from vmm_keystore.errors import NotAllowedError

_UCRED = struct.Struct("3i")  # struct ucred: pid, uid, gid
_STATE = "peer"

_logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Peer:
    """The process that connected."""

    pid: int
    uid: int
    gid: int


class PeerProtocol(H11Protocol):
    """HTTP/1.1 on a UNIX socket, with the peer in each request's state."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Ask the kernel before the first byte is read."""
        super().connection_made(transport)
        credentials = transport.get_extra_info("socket").getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size)
        pid, uid, gid = _UCRED.unpack(credentials)
        # uid_t is unsigned, the struct's format is not.
        self.app_state = {**self.app_state, _STATE: Peer(pid, uid & 0xFFFFFFFF, gid & 0xFFFFFFFF)}


class PeerGate:
    """Lets requests of the allowed uids through; everybody and everything else is refused."""

    def __init__(self, app: ASGIApp, allowed_uids: frozenset[int]) -> None:
        self._app = app
        self._allowed_uids = allowed_uids

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on or refuse it."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        peer = peer_of(scope)
        if peer is None or peer.uid not in self._allowed_uids:
            who = "an unknown peer" if peer is None else f"uid {peer.uid}"
            _logger.warning("refused %s (pid %s)", who, peer.pid if peer else "unknown")
            await refuse(NotAllowedError(f"{who} may not use the control API", "ask as root or as the daemon's user"))(
                scope, receive, send
            )
            return
        await self._app(scope, receive, send)


def peer_of(scope: Scope) -> Peer | None:
    """Return who made the request; None where it came by no socket of ours."""
    state: dict[str, Any] = scope.get("state", {})
    peer = state.get(_STATE)
    return peer if isinstance(peer, Peer) else None
