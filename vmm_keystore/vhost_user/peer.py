# SPDX-License-Identifier: Apache-2.0
"""Who is at the other end of a connected UNIX socket, told by the kernel."""

import os
import select
import socket
import struct

from .backend import Peer

_UCRED = struct.Struct("=iII")
# asm-generic/socket.h, Linux 6.5; the socket module does not name it yet.
_SO_PEERPIDFD = 77


def pin_peer(sock: socket.socket) -> Peer:
    """Read the peer's credentials and get hold of its process.

    Raises:
        OSError: the process is gone already.
    """
    pid, uid, gid = _UCRED.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _UCRED.size))
    try:
        pidfd = sock.getsockopt(socket.SOL_SOCKET, _SO_PEERPIDFD)
    except OSError:
        # Before Linux 6.5: the pid could have been reused since connect, though only by a peer that is dead.
        pidfd = os.pidfd_open(pid)
    return Peer(pid, uid, gid, pidfd)


def hung_up(sock: socket.socket) -> bool:
    """Whether the peer has closed its end, though its last messages may not have been read yet."""
    poll = select.poll()
    poll.register(sock, select.POLLRDHUP)
    return bool(poll.poll(0))
