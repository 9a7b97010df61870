# SPDX-License-Identifier: Apache-2.0
"""Promise P3 with real virtual machines: reset, killed, stopped, unplugged; a neighbour never notices."""

import random
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import pytest
from framework.guest import Guest
from framework.holdings import Holdings, holdings, wait_for_no_growth
from framework.keystored import Keystored
from framework.neighbour import Neighbour
from framework.qemu import QemuGuest, qemu_version
from framework.ring_guest import ring_guest
from guest.boot import Boot
from guest.driver_images import driver_content
from qemu_images.qemu import qemu_11

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(240)]

COMMANDS: dict[str, Callable[[], Sequence[str]]] = {
    "7.2": lambda: ("qemu-system-x86_64",),
    "11.1": lambda: qemu_11().command,
}
RESETS = 4
PLUGS = 100
BUSY = "while :; do echo message | vks sign key >/dev/null 2>&1; done"
UNBIND_AND_BIND = "cd /sys/bus/virtio/drivers/virtio_keystore && device=$(ls | grep ^virtio) && echo $device >unbind && echo $device >bind"
WAIT_FOR_DEVICE = "for i in $(seq 100); do [ -e /dev/keystore0 ] && exit 0; sleep 0.05; done; exit 1"
PATIENCE_S = 30.0


@dataclass
class Place:
    """A daemon and a virtual machine that is in trouble."""

    vault: Keystored
    boot: Boot
    version: str

    def options(self) -> list[str]:
        """What the vault says to give QEMU."""
        version = "{}.{}".format(*qemu_version(COMMANDS[self.version]()))
        options: list[str] = self.vault.facts("qemu-args", "vm", "--qemu", version, "--accel", "tcg")
        return options

    def start(self, *devices: str, kernel: str = "qemu-cloud") -> QemuGuest:
        """Boot the machine, with its device unless others are named."""
        chosen = list(devices) or self.options()
        command = COMMANDS[self.version]()
        return cast("QemuGuest", self.boot(kernel, driver_content(), devices=chosen, command=command))

    def wait(self, *, connected: bool) -> None:
        """Wait until the daemon has seen the machine come or go."""
        end_s = time.monotonic() + PATIENCE_S
        while self.vault.api.get("/guests/vm")["worker"]["connected"] is not connected:
            assert time.monotonic() < end_s, self.vault.log_text[-3000:]
            time.sleep(0.01)


@pytest.fixture(params=COMMANDS)
def alone(request: pytest.FixtureRequest, vault: Keystored, boot: Boot) -> Place:
    """A place without a neighbour."""
    vault.add_guest("vm")
    vault.api.generate("key", "ed25519")
    vault.api.grant("vm", "key", ["sign"])
    return Place(vault, boot, request.param)


@pytest.fixture
def place(alone: Place) -> Iterator[Place]:
    """With a neighbour at work, who must not notice anything."""
    socket = alone.vault.add_guest("neighbour")
    alone.vault.api.grant("neighbour", "key", ["sign"])
    with ring_guest(socket, slot_count=4) as guest, Neighbour(guest, "key"):
        yield alone


def sign(guest: Guest) -> None:
    assert len(guest.run("echo message | vks sign key").stdout) == 64


def test_reset_at_any_moment(place: Place) -> None:
    """A machine that is reset while it signs boots again and signs; no worker dies of it."""
    chance = random.Random(7)  # noqa: S311 - moments, not keys
    guest = place.start()
    guest.qmp.command("set-action", reboot="reset")
    for _ in range(RESETS):
        sign(guest)
        guest.start(BUSY)
        time.sleep(chance.random())
        guest.agent.ready.clear()
        guest.qmp.command("system_reset")
        assert guest.agent.ready.wait(PATIENCE_S), "it did not boot again"
    sign(guest)
    assert place.vault.api.get("/guests/vm")["worker"]["replaced"] == 0


def test_stopped_and_continued(place: Place) -> None:
    """QMP stop and cont while it signs: it goes on where it was."""
    guest = place.start()
    job = guest.start("for i in $(seq 200); do echo message | vks sign key || exit 1; done >/tmp/signatures")
    while job.status is None:
        guest.qmp.command("stop")
        guest.qmp.command("cont")
        time.sleep(0.05)
    assert job.status == 0
    assert len(guest.run("cat /tmp/signatures").stdout) == 200 * 64
    assert place.vault.api.get("/guests/vm")["worker"]["replaced"] == 0


def test_driver_goes_and_comes_while_it_signs(place: Place) -> None:
    """Its requests end with an error in the guest, none of them costs a worker, and it signs again each time."""
    guest = place.start()
    guest.start("; ".join(["for i in 1 2 3 4; do (" + BUSY + ") & done", "wait"]))
    for _ in range(10):
        time.sleep(0.2)
        guest.run(UNBIND_AND_BIND, timeout=60)
        guest.run(WAIT_FOR_DEVICE)
    sign(guest)
    assert place.vault.api.get("/guests/vm")["worker"]["replaced"] == 0


def test_suspended_and_resumed_while_it_signs(place: Place) -> None:
    """Every signature that was asked for arrives, over several suspends of all devices."""
    guest = place.start(kernel="qemu-generic")
    job = guest.start(
        "while [ ! -e /tmp/stop ]; do echo message | vks sign key || exit 1; echo >&2; done >/tmp/signatures"
    )
    for suspend in range(2):
        end_s = time.monotonic() + PATIENCE_S
        while job.stderr.count(b"\n") < 3 * (suspend + 1):
            assert time.monotonic() < end_s
            time.sleep(0.01)
        guest.run("echo devices >/sys/power/pm_test && echo mem >/sys/power/state", timeout=90)
    guest.run("touch /tmp/stop")
    assert job.wait(PATIENCE_S)
    assert job.status == 0
    count = job.stderr.count(b"\n")
    assert count >= 6
    assert len(guest.run("cat /tmp/signatures").stdout) == count * 64
    assert place.vault.api.get("/guests/vm")["worker"]["replaced"] == 0


def test_killed_and_started_again(place: Place) -> None:
    """SIGKILL of QEMU while the guest signs: the daemon lets go, and serves the next one on the same socket."""
    guest = place.start()
    sign(guest)
    guest.start(BUSY)
    time.sleep(0.3)
    guest.kill()
    place.wait(connected=False)
    sign(place.start())


def test_plugged_and_unplugged_hundred_times(place: Place) -> None:
    """The device comes and goes in a running guest: it works each time, and nothing of it stays on the host."""
    guest = place.start("-device", "pcie-root-port,id=port0,chassis=1")
    before: Holdings | None = None
    for number in range(PLUGS):
        with plugged(place, guest):
            guest.run(WAIT_FOR_DEVICE)
            if number % 10 == 0:
                sign(guest)
        place.wait(connected=False)
        if number == PLUGS // 4:
            before = holdings(place.vault.pid)
    assert before
    wait_for_no_growth(place.vault.pid, before)


def test_lost_carrier_is_plugged_anew(alone: Place) -> None:
    """When keystored and holder die both, QEMU loses its connection: unplug and plug is the way back.

    Requests wait until the device is unplugged. A program that keeps its handle open is told then, and works again
    with the next device without being started anew.
    """
    guest = alone.start()
    guest.start("exercise keep-on key >/tmp/said")
    said = Said(guest)
    said.wait_for(["signed"])
    alone.vault.kill_all()
    alone.vault.start()
    version = "{}.{}".format(*qemu_version(COMMANDS[alone.version]()))
    for command in alone.vault.facts("qemu-args", "vm", "--qemu", version, "--accel", "tcg", "--replug"):
        guest.qmp.command(command["execute"], **command["arguments"])
        if command["execute"] == "device_del":
            guest.qmp.wait_event("DEVICE_DELETED", match=lambda event: "vks-device" in str(event["data"]))
            said.wait_for(["signed", "the device is gone"])
    said.wait_for(["signed", "the device is gone", "signed"])
    sign(guest)


class Said:
    """What ``exercise keep-on`` has said so far."""

    def __init__(self, guest: Guest) -> None:
        self._guest = guest

    def wait_for(self, lines: Sequence[str]) -> None:
        """Wait until it has said exactly this; it may not have begun."""
        end_s = time.monotonic() + PATIENCE_S
        while (found := self._guest.run("cat /tmp/said", check=False).stdout.decode().splitlines()) != list(lines):
            assert time.monotonic() < end_s, found
            time.sleep(0.05)


@contextmanager
def plugged(place: Place, guest: QemuGuest) -> Iterator[None]:
    """Give the guest its device for a while."""
    plug(place, guest)
    yield
    unplug(guest)


def plug(place: Place, guest: QemuGuest) -> None:
    """Give the guest its device."""
    address = {"type": "unix", "data": {"path": str(place.vault.folder / "vm.sock")}}
    guest.qmp.command("chardev-add", id="c", backend={"type": "socket", "data": {"addr": address, "server": False}})
    guest.qmp.command("object-add", qom_type="cryptodev-vhost-user", id="v", chardev="c")
    # QEMU 7.2 under TCG cannot set up MSI-X for this device.
    vectors = {"vectors": 0} if place.version == "7.2" else {}
    guest.qmp.command("device_add", driver="virtio-crypto-pci", id="d", bus="port0", cryptodev="v", **vectors)


def unplug(guest: QemuGuest) -> None:
    """Take the device away; the guest lets go of it."""
    guest.qmp.command("device_del", id="d")
    guest.qmp.wait_event("DEVICE_DELETED", match=lambda event: "'d'" in str(event["data"]))
    guest.qmp.command("object-del", id="v")
    guest.qmp.command("chardev-remove", id="c")
