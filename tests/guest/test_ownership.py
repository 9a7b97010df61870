# SPDX-License-Identifier: Apache-2.0
"""Who gets a virtio device of id 20 where the kernel's own ``virtio_crypto`` is there too: Debian's udev decides."""

import pytest
from guest.boot import Boot
from qemu_images.keystore import content

pytestmark = pytest.mark.qemu

FOREIGN = [
    "-object",
    "cryptodev-backend-builtin,id=builtin",
    "-device",
    "virtio-crypto-pci,cryptodev=builtin,vectors=0",
]
OWNERS = "cd /sys/bus/virtio/devices; for d in *; do [ $(cat $d/device) = 0x0014 ] && readlink $d/driver; done; true"


@pytest.mark.parametrize("order", ["cold_plug_first=0", "cold_plug_first=1"])
def test_foreign_device_is_left_to_its_own_driver(boot: Boot, order: str) -> None:
    """A real virtio-crypto device works as ever, whichever of modules-load.d and udev comes first."""
    guest = boot("qemu-generic", content(udev=True), devices=FOREIGN, append=order)
    assert [link.rsplit("/", 1)[1] for link in guest.run(OWNERS).text.split()] == ["virtio_crypto"]
    assert "virtio_keystore" in guest.run("cut -d' ' -f1 /proc/modules").text.split()
    assert guest.run("ls /dev/keystore0", check=False).status != 0
    assert "Accelerator device is ready" in guest.run("dmesg").text
