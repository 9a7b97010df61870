# SPDX-License-Identifier: Apache-2.0
"""Front-end and back-end against each other over a real socket, with a ring that echoes."""

import os
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from framework.echo_device import EchoDevice, EchoFactory
from framework.frontend import PROFILES, QEMU_7_2, QEMU_11_1, UML, FrontEnd, Msg, Profile
from framework.guest_ram import GuestRam
from framework.split_ring import Segment, SplitRing

from vmm_keystore.vhost_user.backend import STOP_RING_MS
from vmm_keystore.vhost_user.listener import GuestSocket
from vmm_keystore.vhost_user.server import Server


@dataclass
class Machine:
    """A front-end whose ring is running, and the device behind it."""

    frontend: FrontEnd
    ram: GuestRam
    ring: SplitRing
    device: EchoDevice

    def echo(self, text: bytes, *, indirect: bool = False) -> bytes:
        """Send *text* in two pieces and get it back in two."""
        source, target = self.ram.alloc(len(text)), self.ram.alloc(len(text))
        self.ram.at(source, len(text))[:] = text
        half = len(text) // 2
        chain = [
            Segment(source, half),
            Segment(source + half, len(text) - half),
            Segment(target, half, writable=True),
            Segment(target + half, len(text) - half, writable=True),
        ]
        head = self.ring.add_indirect(chain) if indirect else self.ring.add(chain)
        self.ring.publish(head)
        self.ring.kick()
        assert self.ring.wait() == [(head, len(text))]
        return bytes(self.ram.at(target, len(text)))


@pytest.fixture
def factory() -> EchoFactory:
    return EchoFactory()


@pytest.fixture
def path(tmp_path: Path, factory: EchoFactory) -> Iterator[Path]:
    with Server() as server:
        server.add_guest(GuestSocket("web1", tmp_path / "web1.sock"), factory)
        yield tmp_path / "web1.sock"


def ram_for(profile: Profile) -> GuestRam:
    if profile.is_uml:
        return GuestRam(layout=[(0x10_0000, 8 << 20)], uva_offset=0)
    return GuestRam(layout=[(0, 0xA_0000), (0x10_0000, 8 << 20)])


@pytest.fixture(params=PROFILES, ids=lambda profile: profile.name)
def machine(request: pytest.FixtureRequest, path: Path, factory: EchoFactory) -> Iterator[Machine]:
    profile: Profile = request.param
    with ExitStack() as stack:
        ram = stack.enter_context(ram_for(profile))
        ring = stack.enter_context(SplitRing(ram, 64, call_is_pipe=profile.is_uml))
        frontend = stack.enter_context(FrontEnd.connect(path, ram, profile))
        frontend.negotiate()
        frontend.start(ring)
        yield Machine(frontend, ram, ring, factory.devices[0])


def test_requests_come_back(machine: Machine) -> None:
    """Every real front-end's own order of messages leads to a ring that serves, more requests than it has entries."""
    for number in range(100):
        text = f"request {number}".encode()
        assert machine.echo(text, indirect=bool(number % 2)) == text


def test_requests_made_before_the_ring_starts_are_served(path: Path) -> None:
    with GuestRam() as ram, SplitRing(ram) as ring, FrontEnd.connect(path, ram) as frontend:
        ring.publish(ring.add([Segment(ram.alloc(4), 4), Segment(ram.alloc(4), 4, writable=True)]))
        frontend.negotiate()
        frontend.start(ring)
        assert [length for _, length in ring.wait()] == [4]


def test_driver_goes_and_comes_back(machine: Machine) -> None:
    """A guest that reloads its driver gets a fresh ring on the same connection."""
    assert machine.echo(b"first life") == b"first life"
    machine.frontend.stop(machine.ring)
    assert machine.device.rings == {}
    machine.ring.reset()
    machine.frontend.start(machine.ring)
    assert machine.echo(b"second life") == b"second life"


def test_paused_machine_goes_on_from_its_base(machine: Machine) -> None:
    """GET_VRING_BASE names what was consumed; the ring goes on there, and what was published meanwhile is served."""
    if machine.frontend.profile.is_uml:
        pytest.skip("user-mode Linux never asks for the base")
    for _ in range(3):
        machine.echo(b"before the pause")
    base = machine.frontend.stop_ring(machine.ring)
    assert base == 3
    head = machine.ring.add([Segment(machine.ram.alloc(4), 4), Segment(machine.ram.alloc(4), 4, writable=True)])
    machine.ring.publish(head)
    machine.frontend.start_ring(machine.ring, base)
    assert machine.ring.wait() == [(head, 4)]


def test_base_is_answered_within_10_ms(machine: Machine) -> None:
    """The back-end's own share of GET_VRING_BASE stays below what QEMU may be kept waiting."""
    took_ms = []
    for _ in range(20):
        start_s = time.monotonic()
        base = machine.frontend.stop_ring(machine.ring)
        took_ms.append((time.monotonic() - start_s) * 1000)
        machine.frontend.start_ring(machine.ring, base)
    assert sorted(took_ms)[len(took_ms) // 2] < STOP_RING_MS


def test_call_fd_changes_while_the_ring_runs(machine: Machine) -> None:
    """MSI-X masking: after the acknowledged change the new descriptor is signalled once, and then for each request."""
    old_call_fd = machine.ring.call_fd
    machine.echo(b"old descriptor")
    with SplitRing(machine.ram, 4) as spare:
        machine.frontend.tell_u64(Msg.SET_VRING_CALL, 0, [spare.call_fd])
        machine.frontend.ask(Msg.GET_FEATURES)
        assert spare.take_call()
        machine.ring.take_call()
        head = machine.ring.add([Segment(machine.ram.alloc(4), 4)])
        machine.ring.publish(head)
        machine.ring.kick()
        machine.frontend.ask(Msg.GET_FEATURES)
        while not spare.take_call():
            os.sched_yield()
        assert not machine.ring.take_call()
        assert machine.ring.reap() == [(head, 0)]
    assert machine.ring.call_fd == old_call_fd


def test_kick_fd_changes_while_the_ring_runs(machine: Machine) -> None:
    with SplitRing(machine.ram, 4) as spare:
        machine.frontend.tell_u64(Msg.SET_VRING_KICK, 0, [spare.kick_fd])
        machine.ring.kick_fd, spare.kick_fd = spare.kick_fd, machine.ring.kick_fd
        assert machine.echo(b"new descriptor") == b"new descriptor"


@pytest.mark.parametrize("machine", [QEMU_7_2, QEMU_11_1], indirect=True, ids=lambda profile: profile.name)
def test_memory_is_added_and_removed_while_the_ring_runs(machine: Machine) -> None:
    """Memory hot-plug, also with the region that holds the ring gone for a moment: no request is lost."""
    low, high = machine.ram.regions
    wire = [
        b"\0" * 8 + b"".join(n.to_bytes(8, "little") for n in (r.gpa, r.size_bytes, r.uva, r.mmap_offset))
        for r in (low, high)
    ]
    machine.frontend.tell(Msg.REM_MEM_REG, wire[0], ack=True)
    assert machine.echo(b"less memory") == b"less memory"
    machine.frontend.tell(Msg.REM_MEM_REG, wire[1], ack=True)
    assert machine.device.rings == {}
    machine.frontend.tell(Msg.ADD_MEM_REG, wire[1], [machine.ram.fd], ack=True)
    assert machine.echo(b"the ring's own memory is back") == b"the ring's own memory is back"


@pytest.mark.parametrize("machine", [UML], indirect=True, ids=lambda profile: profile.name)
def test_memory_table_is_replaced_while_the_ring_runs(machine: Machine) -> None:
    machine.frontend.set_mem_table(machine.ram.regions)
    assert machine.echo(b"same memory, new mapping") == b"same memory, new mapping"
    assert machine.device.log.count("table 1") == 2
    assert machine.device.log.count("start 0 base 0") == 1
