# SPDX-License-Identifier: Apache-2.0
"""The holder and a keystored that dies in the middle of what it says."""

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from framework.patience import wait_for
from framework.processes import peer_pid

from vmm_keystore._vks import lib
from vmm_keystore.workers.holder import NAME_BYTES, SOCKET_NAME, Holder
from vmm_keystore.workers.ipc import pack_message
from vmm_keystore.workers.loop import Loop


@contextmanager
def holder(folder: Path) -> Iterator[Holder]:
    """A connection to the holder of a folder, which goes on when it ends."""
    loop = Loop("holder")
    loop.start()
    store = Holder(loop, folder)
    try:
        yield store
    finally:
        store.close(leave=True)
        loop.stop()


def test_last_words_of_a_dead_keystored_count(tmpfs_folder: Path) -> None:
    """Killed before it read an answer and before the holder read its next message: both descriptors are there."""
    with holder(tmpfs_folder) as store:
        store.keep("first", 0)
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as dying:
        dying.connect(str(tmpfs_folder / SOCKET_NAME))
        pid = peer_pid(dying)
        say_keep(dying, 1, "read.1")
        wait_for(lambda: has_input(dying))
        os.kill(pid, signal.SIGSTOP)
        say_keep(dying, 2, "unread.1")
    os.kill(pid, signal.SIGCONT)
    with holder(tmpfs_folder) as store:
        assert [len(store.take(label)) for label in ("first", "read", "unread")] == [1, 1, 1]
        store.close(leave=False)


def say_keep(sock: socket.socket, tag: int, name: str) -> None:
    """Ask to keep standard input."""
    packet = pack_message(lib.VKS_HOLDER_KEEP, tag, name.encode().ljust(NAME_BYTES, b"\0"))
    socket.send_fds(sock, [packet], [0])


def has_input(sock: socket.socket) -> bool:
    """Whether there is something to read."""
    try:
        return bool(sock.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
    except BlockingIOError:
        return False
