# SPDX-License-Identifier: Apache-2.0
"""Promise P3 when a front-end ends or takes its memory away in the middle of its guest's requests."""

import os
import select
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from framework.busy_front_end import busy_front_end
from framework.frontend import QEMU_7_2, FrontEnd
from framework.guest_ram import GuestRam
from framework.holdings import Holdings, holdings, wait_for_no_growth
from framework.keystored import Keystored
from framework.ring_guest import RingGuest, ring_guest
from framework.split_ring import SplitRing
from framework.vault import Vault

from vmm_keystore._vks import lib

PATIENCE_S = 20.0
KILLS = 30
CONNECTIONS = 100
DEPTH = 32


@dataclass
class Place:
    """A daemon and a guest whose front-end is in trouble."""

    vault: Keystored
    socket: Path

    def worker(self) -> dict[str, Any]:
        """What keystored says of the guest's worker."""
        worker: dict[str, Any] = self.vault.api.get("/guests/troubled")["worker"]
        return worker

    def wait_disconnected(self) -> None:
        """Wait until the daemon has seen the end of the connection."""
        end_s = time.monotonic() + PATIENCE_S
        while self.worker()["connected"]:
            assert time.monotonic() < end_s, "it did not see the end:\n" + self.vault.log_text[-3000:]
            time.sleep(0.005)


@pytest.fixture
def place(vault: Keystored) -> Place:
    socket = vault.add_guest("troubled")
    for label, key_type in (("fast", "ed25519"), ("slow", "rsa-2048")):
        vault.api.generate(label, key_type)
        vault.api.grant("troubled", label, ["sign"])
    return Place(vault, socket)


def submit(guest: RingGuest, keys: tuple[bytes, bytes]) -> None:
    """Fill the ring with slow and fast requests."""
    while guest.vault.free:
        key_id, size = (keys[0], 64) if guest.vault.free % 4 else (keys[1], 256)
        guest.vault.submit(lib.VKS_OP_SIGN, key_id=key_id, data=b"m", output_bytes=size)
    guest.ring.kick(force=True)


def test_front_end_is_killed(place: Place) -> None:
    """SIGKILL with requests under way, again and again: the next front-end is served, nothing is left of the last."""
    before: Holdings | None = None
    for number in range(KILLS):
        with busy_front_end(place.socket, DEPTH):
            time.sleep(number % 5 * 0.002)
        place.wait_disconnected()
        # Buffers and threads have their size by then.
        if number == KILLS // 3:
            before = holdings(place.vault.pid)
    with ring_guest(place.socket) as guest:
        assert guest.sign("fast", b"after all that").status == lib.VKS_STATUS_OK
    place.wait_disconnected()
    assert before
    wait_for_no_growth(place.vault.pid, before)
    assert place.worker()["replaced"] == 0, "no front-end costs a worker its life"


@contextmanager
def shrinking_guest(socket: Path) -> Iterator[tuple[RingGuest, GuestRam]]:
    """A guest whose requests lie in a region of its own, behind the ring's."""
    layout = [(0x4000_0000, 1 << 20), (0, 4 << 20)]
    with GuestRam(layout=layout) as ram, SplitRing(ram) as ring, FrontEnd.connect(socket, ram, QEMU_7_2) as frontend:
        vault = Vault(ram, ring, slot_count=DEPTH)
        frontend.negotiate()
        frontend.start(ring)
        yield RingGuest(frontend, vault, ring), ram


def test_memory_is_taken_away(place: Place) -> None:
    """A memfd shrunk under requests: that ring ends with its err signal, the worker lives, another guest never knows."""
    other_socket = place.vault.add_guest("other")
    place.vault.api.grant("other", "fast", ["sign"])
    with ring_guest(other_socket) as other:
        key_id = other.key_id("fast")
        for round_number in range(5):
            with shrinking_guest(place.socket) as (guest, ram):
                keys = guest.key_id("fast"), guest.key_id("slow")
                submit(guest, keys)
                time.sleep(round_number * 0.001)
                os.ftruncate(ram.fd, 1 << 20)  # only the other region stays
                os.eventfd_write(guest.ring.kick_fd, 1)
                assert other.sign(key_id, b"m").status == lib.VKS_STATUS_OK
                assert select.select([guest.ring.err_fd], [], [], PATIENCE_S)[0], "err was not signalled"
            place.wait_disconnected()
            with ring_guest(place.socket) as guest:
                assert guest.sign("fast", b"after that").status == lib.VKS_STATUS_OK
            place.wait_disconnected()
    assert place.worker()["replaced"] == 0
    assert place.vault.api.get("/guests/other")["worker"]["replaced"] == 0


def test_hundred_connections(place: Place) -> None:
    """Devices that come and go, as hot-plug and unplug make them: nothing of them stays."""
    before: Holdings | None = None
    for number in range(CONNECTIONS):
        with ring_guest(place.socket, slot_count=4) as guest:
            assert guest.sign("fast", b"m").status == lib.VKS_STATUS_OK
        place.wait_disconnected()
        if number == CONNECTIONS // 4:
            before = holdings(place.vault.pid)
    assert before
    wait_for_no_growth(place.vault.pid, before)
    assert place.worker()["replaced"] == 0


def test_front_end_stops_reading(place: Place) -> None:
    """A front-end that is stopped, with requests under way, delays nobody and goes on where it was."""
    with busy_front_end(place.socket, DEPTH) as front_end:
        for _ in range(3):
            front_end.send_signal(signal.SIGSTOP)
            before_s = time.monotonic()
            place.vault.api.revoke("troubled", "slow")
            place.vault.api.grant("troubled", "slow", ["sign"])
            assert time.monotonic() - before_s < PATIENCE_S
            front_end.send_signal(signal.SIGCONT)
        assert front_end.poll() is None
    place.wait_disconnected()
