# SPDX-License-Identifier: Apache-2.0
"""Who gets a virtio device of id 20 where the kernel's own ``virtio_crypto`` is there too: Debian's udev decides."""

import re

import pytest
from framework.keystored import Keystored
from framework.qemu import qemu_version
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


def vault_device(vault: Keystored) -> list[str]:
    """QEMU's options for a guest of *vault*, as users are told."""
    vault.add_guest("guest")
    version = "{}.{}".format(*qemu_version(["qemu-system-x86_64"]))
    options: list[str] = vault.facts("qemu-args", "guest", "--qemu", version, "--accel", "tcg")
    return options


@pytest.mark.parametrize("order", ["cold_plug_first=0", "cold_plug_first=1"])
def test_vault_device_is_ours(boot: Boot, vault: Keystored, order: str) -> None:
    """With the installed configuration our driver gets the vault's device, in either order, and it works (MUST-22)."""
    guest = boot("qemu-generic", content(udev=True), devices=vault_device(vault), append=order)
    assert [link.rsplit("/", 1)[1] for link in guest.run(OWNERS).text.split()] == ["virtio_keystore"]
    assert guest.run("stat -c '%U:%G %a' /dev/keystore0").text == "root:keystore 660"
    assert len(guest.run("vks random 16").stdout) == 16


def test_device_of_the_in_tree_driver_is_handed_over(boot: Boot, vault: Keystored) -> None:
    """Where virtio_crypto was first, ``vks doctor`` prints the lines that hand the device over, and they do."""
    guest = boot("qemu-generic", content(udev=True), devices=vault_device(vault), append="cold_plug_first=0")
    guest.run("rmmod virtio_keystore; modprobe -r virtio_crypto; modprobe --show-depends virtio_crypto >/tmp/modules")
    guest.run("grep -v virtio_keystore /tmp/modules | while read -r insmod path; do $insmod $path; done")
    assert [link.rsplit("/", 1)[1] for link in guest.run(OWNERS).text.split()] == ["virtio_crypto"]
    guest.run("modprobe virtio_keystore")
    report = guest.run("vks doctor", check=False)
    assert report.status != 0
    lines = re.findall(r"echo virtio\d+ *> */sys/bus/virtio/drivers/\w+/(?:un)?bind", report.stdout.decode())
    assert [line.rsplit("/", 1)[1] for line in lines] == ["unbind", "bind"]
    guest.run("\n".join(lines))
    assert guest.run("vks doctor").status == 0
