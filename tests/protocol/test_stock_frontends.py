# SPDX-License-Identifier: Apache-2.0
"""The back-end under the real front-ends: QEMU 7.2, QEMU 11.1 and user-mode Linux, message for message."""

import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from framework.echo_device import EchoFactory
from guest.boot import Boot, booting
from qemu_images.images import Content
from qemu_images.keystore import driver
from qemu_images.qemu import qemu_11

from vmm_keystore.vhost_user.listener import GuestSocket
from vmm_keystore.vhost_user.machine import BackEndMachine
from vmm_keystore.vhost_user.protocol import Request
from vmm_keystore.vhost_user.server import Server

boot = pytest.fixture(booting, name="boot")
IN_TREE = Content(kernel_modules=("virtio_crypto",))


@pytest.fixture
def factory() -> EchoFactory:
    return EchoFactory()


@pytest.fixture
def path(tmp_path: Path, factory: EchoFactory) -> Iterator[Path]:
    with Server() as server:
        server.add_guest(GuestSocket("web1", tmp_path / "web1.sock"), factory)
        yield tmp_path / "web1.sock"


@pytest.fixture
def heard(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Names of all messages the back-end serves, in order."""
    names: list[str] = []
    check = BackEndMachine._check_allowed

    def noted(machine: BackEndMachine, request: Request) -> None:
        names.append(request.name)
        check(machine, request)

    monkeypatch.setattr(BackEndMachine, "_check_allowed", noted)
    return names


def eventually(condition: Callable[[], bool]) -> None:
    end_s = time.monotonic() + 20
    while not condition():
        assert time.monotonic() < end_s, "it did not come to that"
        os.sched_yield()


def strip_resets(names: list[str]) -> list[str]:
    """Take what was heard so far; how often firmware and driver reset the device is their own affair."""
    taken = [name for name in names if name != "RESET_DEVICE"]
    names.clear()
    return taken


CREATED = "GET_FEATURES GET_PROTOCOL_FEATURES SET_PROTOCOL_FEATURES GET_MAX_MEM_SLOTS SET_BACKEND_REQ_FD SET_OWNER"
CREATED += " GET_FEATURES SET_VRING_CALL SET_VRING_ERR"
RING = "SET_VRING_NUM SET_VRING_BASE SET_VRING_ADDR SET_VRING_KICK SET_VRING_CALL"


@pytest.mark.qemu
@pytest.mark.parametrize("version", ["7.2", "11.1"])
def test_qemu(version: str, boot: Boot, path: Path, factory: EchoFactory, heard: list[str]) -> None:
    """A driver comes, is refused a raw key (MUST-4), goes and comes back, all on one connection.

    ``framework.frontend`` speaks like this; where the lists here change, it has to change.
    """
    is_new = version == "11.1"
    guest = boot(
        "qemu-generic",
        IN_TREE,
        command=qemu_11().command if is_new else ("qemu-system-x86_64",),
        append="cryptomgr.notests=0",  # the self-test of the in-tree driver brings a key of its own
        devices=[
            *("-chardev", f"socket,id=c,path={path}", "-object", "cryptodev-vhost-user,id=v,chardev=c"),
            *("-device", "virtio-crypto-pci,cryptodev=v" + ("" if is_new else ",vectors=0")),
        ],
    )
    device = factory.devices[0]
    assert ("RESET_DEVICE" in heard) == is_new
    assert strip_resets(heard) == CREATED.split()

    guest.run("modprobe virtio_crypto")
    eventually(lambda: heard[-1] == "CREATE_CRYPTO_SESSION")
    started = f"SET_FEATURES GET_STATUS SET_STATUS ADD_MEM_REG {RING} CREATE_CRYPTO_SESSION"
    assert strip_resets(heard) == started.split()
    assert (device.rings[0].size, device.rings[0].features) == (1024, 0x40000000)
    eventually(lambda: "alg_test" in "".join(guest.console.complaints()))
    assert "failed" in guest.run("dmesg | grep 'alg: .*virtio_crypto'").text

    guest.run("rmmod virtio_crypto")
    assert device.rings == {}
    assert strip_resets(heard) == ["GET_VRING_BASE"]
    guest.run("modprobe virtio_crypto")
    eventually(lambda: heard[-1] == "CREATE_CRYPTO_SESSION")
    # Only 11.1 resets the status in between; neither sends the memory again.
    status = "GET_STATUS SET_STATUS" if is_new else "GET_STATUS"
    assert strip_resets(heard) == f"SET_FEATURES {status} {RING} CREATE_CRYPTO_SESSION".split()
    assert device.log == ["table 1", "start 0 base 0", "call 0", "stop 0", "start 0 base 0", "call 0"]
    assert len(factory.devices) == 1
    assert all("alg_test" in complaint for complaint in guest.console.take_complaints())


@pytest.mark.uml
def test_user_mode_linux(boot: Boot, path: Path, factory: EchoFactory, heard: list[str]) -> None:
    """Our driver declines a device that only echoes: two whole lives of a ring within a second."""
    guest = boot("uml-plain", Content((driver(),)), devices=[(path, 20)])
    created = "SET_OWNER GET_FEATURES GET_PROTOCOL_FEATURES SET_PROTOCOL_FEATURES SET_BACKEND_REQ_FD"
    assert strip_resets(heard) == created.split()
    life = "SET_FEATURES SET_MEM_TABLE SET_VRING_CALL SET_VRING_NUM SET_VRING_BASE SET_VRING_ADDR SET_VRING_KICK"
    life += " SET_VRING_ENABLE SET_VRING_ENABLE GET_FEATURES"
    for _ in range(2):
        guest.run("modprobe virtio_keystore")
        assert strip_resets(heard) == life.split()
        guest.run("rmmod virtio_keystore")
    assert factory.devices[0].log == ["table 1", "start 0 base 0", "stop 0"] * 2
    assert len(factory.devices) == 1
