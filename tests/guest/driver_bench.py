# SPDX-License-Identifier: Apache-2.0
"""A guest with the driver, and the Python device it has; shared by the tests of the driver."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from framework.guest import Guest
from guest.boot import Boot
from guest.driver_device import KeystoreFactory, Request
from guest.driver_images import driver_content

from vmm_keystore.vhost_user.listener import GuestSocket
from vmm_keystore.vhost_user.server import Server

GUEST_NAME = "courier1"
REMOVE = "echo virtio0 >/sys/bus/virtio/drivers/virtio_keystore/unbind"
BIND = "echo virtio0 >/sys/bus/virtio/drivers/virtio_keystore/bind"


@dataclass(repr=False)
class Bench:
    """A guest, its device, and the device's end of the socket."""

    guest: Guest
    factory: KeystoreFactory
    server: Server

    def exercise(self, words: str, timeout: float = 120) -> list[str]:
        """What the exercising program printed."""
        return self.guest.run(f"exercise {words}", timeout=timeout).text.splitlines()

    def wait_op(self, op: int, count: int = 1) -> list[Request]:
        """The requests of an operation so far, at least *count*."""
        deadline = time.monotonic() + 10
        record = self.factory.record
        while len(found := [r for r in record.requests if r.op == op]) < count:
            record.wait(len(record.requests) + 1, max(deadline - time.monotonic(), 0.01))
        return found

    def rebind(self) -> None:
        """A fresh driver on the same device."""
        self.guest.run(f"{REMOVE}; {BIND}")


@dataclass(repr=False)
class Plug:
    """A socket with a device behind it, no guest yet."""

    path: Path
    factory: KeystoreFactory
    server: Server


def plugging(tmp_path: Path) -> Iterator[Plug]:
    """Yield a device that listens."""
    factory = KeystoreFactory()
    with Server() as server:
        server.add_guest(GuestSocket(GUEST_NAME, tmp_path / "guest.sock"), factory)
        yield Plug(tmp_path / "guest.sock", factory, server)


def benching(request: pytest.FixtureRequest, plug: Plug, boot: Boot) -> Iterator[Bench]:
    """Yield a bench of the kind the parameter names; hold guest and driver to a clean end."""
    guest = boot(request.param, driver_content(), devices=[(plug.path, 20)])
    yield Bench(guest, plug.factory, plug.server)
    plug.factory.lie = None
    # That the driver lets go of everything is part of every test; the console is looked at by the guest itself.
    guest.run("rmmod virtio_keystore", timeout=30)
