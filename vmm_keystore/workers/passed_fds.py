# SPDX-License-Identifier: Apache-2.0
"""Descriptors that came with a message (unix(7), ``SCM_RIGHTS``).

``socket.recv_fds`` of Python 3.11 forgets its *flags*: it neither peeks nor closes on exec. ``recvmsg`` does.
"""

import array
import socket
from collections.abc import Iterable

FD_BYTES = array.array("i").itemsize


def ancillary_bytes(fd_count: int) -> int:
    """Room for so many descriptors."""
    return socket.CMSG_SPACE(fd_count * FD_BYTES)


def passed_fds(ancillary: Iterable[tuple[int, int, bytes]]) -> tuple[int, ...]:
    """Give the descriptors in what ``recvmsg`` returned; the caller owns them."""
    fds = array.array("i")
    for level, kind, content in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            fds.frombytes(content[: len(content) - len(content) % FD_BYTES])
    return tuple(fds)
