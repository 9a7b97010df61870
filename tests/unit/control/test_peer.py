# SPDX-License-Identifier: Apache-2.0
"""The kernel's word on who is on the other end of a socket."""

import json
import os
import socket
import subprocess
import sys
from collections.abc import Sequence

import pytest

from vmm_keystore.control.peer import Peer, read_peer

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root to be in other groups")

SHOW = """
import json, os, socket, sys
from vmm_keystore.control.peer import read_peer
uid, gid, groups = json.load(sys.stdin)
os.setgroups(groups); os.setresgid(gid, gid, gid); os.setresuid(uid, uid, uid)
near, far = socket.socketpair()
peer = read_peer(near)
print(json.dumps([peer.pid, peer.uid, peer.gid, sorted(peer.groups)]))
"""


def seen(uid: int, gid: int, groups: Sequence[int]) -> Peer:
    """How a process with these is seen, at the other end of a socket of its own."""
    done = subprocess.run(
        [sys.executable, "-P", "-c", SHOW],
        input=json.dumps([uid, gid, list(groups)]),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        timeout=30,
    )
    pid, uid, gid, found = json.loads(done.stdout)
    return Peer(pid, uid, gid, frozenset(found))


@pytest.mark.parametrize("count", [0, 1, 256, 257, 65536])
def test_all_groups_count(count: int) -> None:
    """As many as a process can be in, and its own one, however many fit into the first question."""
    groups = range(60000, 60000 + count)
    peer = seen(54001, 54002, groups)
    assert (peer.uid, peer.gid) == (54001, 54002)
    assert peer.groups == {54002, *groups}


def test_largest_ids() -> None:
    """They are no negative numbers."""
    largest = 2**32 - 2
    peer = seen(largest, largest, [largest])
    assert peer == Peer(peer.pid, largest, largest, frozenset({largest}))


def test_groups_the_kernel_does_not_tell(caplog: pytest.LogCaptureFixture) -> None:
    """User and own group count then, and the log says so."""

    class Silent:
        """Credentials, but no descriptor to ask for groups by."""

        def getsockopt(self, level: int, option: int, size: int) -> bytes:
            near, far = socket.socketpair()
            with near, far:
                return near.getsockopt(level, option, size)

        def fileno(self) -> int:
            return -1

    peer = read_peer(Silent())
    assert peer.groups == {os.getegid()}
    assert f"groups of pid {os.getpid()} are not known: Bad file descriptor" in caplog.text
