# SPDX-License-Identifier: Apache-2.0
"""A worker that looks at its ring before it sleeps, and how many of a host may."""

import mmap
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from framework.frontend import F_EVENT_IDX
from protocol.worker_rig import Bench, RigKey, Zygote, key_id, make_state, receive, running_bench

from vmm_keystore._vks import ffi, lib
from vmm_keystore.workers.data_plane import DataPlane, make_board
from vmm_keystore.workers.ipc import pack

pytestmark = pytest.mark.alone

OK = lib.VKS_STATUS_OK
POLL_US = lib.VKS_SNAPSHOT_POLL_US_MAX
MAC = RigKey(key_id(5), lib.VKS_KEY_TYPE_HMAC_SHA256, bytes(range(64, 96)))
MAC_REQUEST: dict[str, Any] = {"key_id": MAC.key_id, "data": b"m", "output_bytes": 32}
ROUND, MANY = 200, 150
ROUNDS = 10
"""One after the other in which it slept: a busy machine makes one that polls look like it for one or two."""
PLACES = 3
PATIENCE_S = 30
HELD_S = 0.9


class Board:
    """A poll board as the test sees it."""

    def __init__(self) -> None:
        self.fd = make_board()
        self._map = mmap.mmap(self.fd, ffi.sizeof("struct vks_poll_board"))
        self._memory: Any = ffi.from_buffer(self._map, require_writable=True)
        board: Any = ffi.cast("struct vks_poll_board *", self._memory)
        self.until_ns: Any = board.until_ns

    def hold(self, seconds: float, places: int = PLACES) -> None:
        """Take *places* for so long, as other workers would."""
        for place in range(places):
            self.until_ns[place] = time.monotonic_ns() + int(seconds * 1e9)

    def close(self) -> None:
        """Let go of it."""
        self.until_ns = None
        ffi.release(self._memory)
        self._map.close()
        os.close(self.fd)


@pytest.fixture
def board() -> Iterator[Board]:
    board = Board()
    yield board
    board.close()


@contextmanager
def polling_bench(zygote: Zygote, data_plane: DataPlane) -> Iterator[Bench]:
    """A worker that polls, and a driver that knows the event index."""
    with running_bench(zygote, data_plane=data_plane) as bench:
        bench.rig.give(MAC)
        facts = {"abi_version_min": 1, "abi_version_max": 1, "driver_features": 1 << F_EVENT_IDX}
        told = pack("vks_info_request", facts)
        assert bench.vault.request(lib.VKS_OP_INFO, data=told, output_bytes=256).status == OK
        bench.ring.event_idx = True
        yield bench


def request_counts_kick(bench: Bench) -> bool:
    """One request, answered; whether the worker wanted a kick."""
    bench.vault.submit(lib.VKS_OP_MAC, **MAC_REQUEST)
    kicked = bench.ring.kick()
    [(_, answer)] = bench.vault.collect(spin_s=0.01)
    assert answer.status == OK
    return kicked


def kicks_of_a_round(bench: Bench) -> int:
    """Of so many requests one after the other."""
    kicks = sum(request_counts_kick(bench) for _ in range(ROUND))
    # Nobody else takes records, and each request that was waited for has one of its own.
    bench.rig.records()
    bench.rig.ask(lib.VKS_WORKER_DRAINED)
    return kicks


def polls(bench: Bench) -> None:
    """Wait for a round in which it polls: a busy machine may take the processor from it for longer than it looks."""
    end_s = time.monotonic() + PATIENCE_S
    while kicks_of_a_round(bench) >= MANY:
        assert time.monotonic() < end_s, "it wants a kick for nearly every request"


def test_worker_that_polls(zygote: Zygote) -> None:
    """It answers without a kick while it looks, asks for one before it sleeps, and messages are heard meanwhile."""
    with polling_bench(zygote, DataPlane(poll_us=POLL_US)) as bench:
        polls(bench)
        bench.rig.publish(MAC)
        time.sleep(0.01)
        assert bench.ring.avail_event[0] == bench.ring.avail_idx, "it sleeps and would not be woken"
        assert request_counts_kick(bench)


def test_places_are_taken(zygote: Zygote, board: Board) -> None:
    """Where as many look as may, it sleeps at once; where one of them is gone, it looks."""
    with polling_bench(zygote, DataPlane(poll_us=POLL_US, poll_workers=PLACES, board_fd=board.fd)) as bench:
        end_s = time.monotonic() + PATIENCE_S
        asleep = 0
        while asleep < ROUNDS:
            assert time.monotonic() < end_s, "it wants no kick for many requests"
            board.hold(HELD_S)
            asleep = asleep + 1 if kicks_of_a_round(bench) >= MANY else 0
        assert all(board.until_ns[place] > time.monotonic_ns() - 10**9 for place in range(PLACES)), "it took one"
        board.until_ns[1] = time.monotonic_ns()
        polls(bench)
        assert not any(board.until_ns[place] for place in range(PLACES, lib.VKS_POLL_PLACES_MAX)), "a place of nobody's"


def test_nonsense_on_the_board(zygote: Zygote, board: Board) -> None:
    """Who has fallen may write what it likes: others poll or sleep, and serve."""
    with polling_bench(zygote, DataPlane(poll_us=POLL_US, poll_workers=PLACES, board_fd=board.fd)) as bench:
        for word in (0, 1, 2**63, 2**64 - 1):
            for place in range(lib.VKS_POLL_PLACES_MAX):
                board.until_ns[place] = word
            polls(bench)


def test_a_board_that_could_go_away(zygote: Zygote) -> None:
    """Who can shrink it could end every worker that looks at it: a worker does not start with one."""
    fd, state_fd = os.memfd_create("board", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), make_state()
    os.ftruncate(fd, 4096)
    control, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with control, theirs:
        plane = DataPlane(poll_us=POLL_US, poll_workers=1, board_fd=fd)
        _, pidfd = zygote.spawn(theirs.fileno(), theirs.fileno(), state_fd, plane)
        theirs.close()
        with pytest.raises(ConnectionError):
            receive(control)
    for left in (pidfd, fd, state_fd):
        os.close(left)
