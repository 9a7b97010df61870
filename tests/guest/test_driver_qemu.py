# SPDX-License-Identifier: Apache-2.0
"""The guest driver on real virtio-pci devices: both kinds of interrupt, hot-plug and hot-unplug, suspend and resume.

The device is the Python one, behind stock QEMU's cryptodev-vhost-user.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, cast

import pytest
from framework.qemu import QemuGuest
from guest.boot import Boot
from guest.driver_bench import GUEST_NAME, Bench, Plug
from guest.driver_images import driver_content
from qemu_images.qemu import qemu_11

from vmm_keystore._vks import lib

pytestmark = [pytest.mark.qemu, pytest.mark.timeout(300)]

ENODEV = 19
DEVICE = "virtio-crypto-pci,id=vault,cryptodev=vault-backend,bus=port0"


@dataclass(frozen=True)
class Carrier:
    """A QEMU and the kind of interrupt that it gives the device."""

    command: tuple[str, ...]
    device: str
    interrupt: str


def _carrier(name: str) -> Carrier:
    # QEMU 7.2 dies of MSI-X under TCG.
    if name == "7.2 INTx":
        return Carrier(("qemu-system-x86_64",), f"{DEVICE},vectors=0", "IO-APIC")
    return Carrier(qemu_11().command, DEVICE, "PCI-MSI")


@pytest.fixture(params=["7.2 INTx", "11.1 MSI-X"])
def carrier(request: pytest.FixtureRequest) -> Carrier:
    return _carrier(request.param)


def _boot(kind: str, carrier: Carrier, plug: Plug, boot: Boot) -> Bench:
    devices = ["-device", "pcie-root-port,id=port0,chassis=1"]
    devices += ["-chardev", f"socket,id=vault-socket,path={plug.path}"]
    devices += ["-object", "cryptodev-vhost-user,id=vault-backend,chardev=vault-socket", "-device", carrier.device]
    guest = boot(kind, driver_content(), devices=devices, command=carrier.command, cpus=2)
    return Bench(guest, plug.factory, plug.server)


@pytest.fixture
def machine(carrier: Carrier, plug: Plug, boot: Boot) -> Iterator[Bench]:
    bench = _boot("qemu-cloud", carrier, plug, boot)
    yield bench
    plug.factory.lie = None
    bench.guest.run("rmmod virtio_keystore", timeout=30)


def qmp(bench: Bench) -> QemuGuest:
    """The same guest, with its monitor."""
    return cast("QemuGuest", bench.guest)


def test_every_transfer(machine: Bench, carrier: Carrier) -> None:
    """Sizes, batches, asynchronous requests and threads over virtio-pci, by the interrupt the carrier has."""
    assert machine.exercise("sizes") == ["sizes ok"]
    assert machine.exercise("batch 256") == ["batch good 171 refused 85"]
    assert machine.exercise("async 1000") == ["async 1000"]
    assert machine.exercise("threads", timeout=200) == ["threads ok"]
    node = machine.guest.run("basename $(readlink -f /sys/class/misc/keystore0/device)").text
    interrupts = machine.guest.run(f"grep -w -e {node} -e {node}-requests /proc/interrupts").text
    assert carrier.interrupt in interrupts


def test_unplug_with_requests_pending(machine: Bench, carrier: Carrier) -> None:
    """MUST-33: hot-unplug answers who waits with ENODEV; the device can be plugged again."""
    machine.factory.lie = lambda request, answer: setattr(answer, "silent", request.op == lib.VKS_OP_RANDOM)
    waiting, polling = machine.guest.start("exercise wait"), machine.guest.start("exercise wait-for-removal")
    machine.wait_op(lib.VKS_OP_RANDOM, 4)
    qemu = qmp(machine)
    qemu.qmp.command("device_del", id="vault")
    for job in (waiting, polling):
        assert job.wait(30)
    assert bytes(waiting.stdout).decode().splitlines() == ["waiting", f"random {-ENODEV}", f"again {-ENODEV}"]
    assert f"reaped 3 errors {-ENODEV} {-ENODEV} {-ENODEV}" in bytes(polling.stdout).decode()
    qemu.qmp.wait_event("DEVICE_DELETED", match=lambda event: "vault" in str(event["data"]))
    machine.guest.run("! test -e /dev/keystore0")
    machine.factory.lie = None
    driver, *options = carrier.device.split(",")
    arguments: dict[str, Any] = dict(option.split("=") for option in options)
    arguments |= {name: int(value) for name, value in arguments.items() if value.isdigit()}
    qemu.qmp.command("device_add", driver=driver, **arguments)
    machine.guest.run("for i in $(seq 100); do test -e /dev/keystore0 && exit 0; sleep 0.1; done; exit 1")
    assert machine.exercise("sizes") == ["sizes ok"]


def test_suspend_with_requests_pending(plug: Plug, boot: Boot, carrier: Carrier) -> None:
    """A request that a suspend cut off is sent again after the resume, behind a new info, and is answered once.

    The whole machine cannot sleep here (a resume from S3 ends this QEMU under TCG, with our device or without), so
    the kernel's own test mode suspends all devices and resumes them.
    """
    bench = _boot("qemu-generic", carrier, plug, boot)
    plug.factory.lie = lambda request, answer: setattr(answer, "silent", request.op == lib.VKS_OP_RANDOM)
    waiting, polling = bench.guest.start("exercise wait"), bench.guest.start("exercise async 1")
    bench.wait_op(lib.VKS_OP_RANDOM)
    assert polling.wait(30)
    plug.factory.lie = None
    before = len(plug.factory.record.requests)
    bench.guest.run("echo devices >/sys/power/pm_test && echo mem >/sys/power/state", timeout=90)
    assert waiting.wait(30)
    assert bytes(waiting.stdout).decode().splitlines() == ["waiting", "random 0", "again 0"]
    after = [request.op for request in plug.factory.record.requests[before:]]
    assert after == [lib.VKS_OP_INFO, lib.VKS_OP_RANDOM, lib.VKS_OP_RANDOM]
    assert bench.exercise("sizes") == ["sizes ok"]


def test_backend_goes_away(machine: Bench) -> None:
    """A front-end that lost its back-end does not take the guest with it; unplug is the way out for who waits."""
    machine.factory.lie = lambda request, answer: setattr(answer, "silent", request.op == lib.VKS_OP_RANDOM)
    waiting = machine.guest.start("exercise wait")
    machine.wait_op(lib.VKS_OP_RANDOM)
    machine.server.disconnect(GUEST_NAME, "the test wants it")
    assert not waiting.wait(0.5)
    qmp(machine).qmp.command("device_del", id="vault")
    assert waiting.wait(30)
    assert f"random {-ENODEV}" in bytes(waiting.stdout).decode()
