# SPDX-License-Identifier: Apache-2.0
"""A Debian 13 whose root is encrypted, booted by its own initramfs: the vault opens it, or whoever types.

Stock QEMU, Debian 13's kernel, initramfs-tools and cryptsetup-initramfs; of this project the module and vks-luks.
"""

import os
import re
import shutil
import time
from pathlib import Path
from typing import Any

import pytest
from framework.encrypted_root import APPEND, encrypted_root
from framework.keystored import Keystored
from framework.luks import PASSPHRASE
from framework.qemu import QemuGuest, qemu_version

pytestmark = [
    pytest.mark.qemu,
    pytest.mark.timeout(600),
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can make a Debian"),
]
NAME = "guest"
KEY = "disks"
PROMPT = re.compile(r"The vault does not open disk root; passphrase \(none: ask the vault again\): $")
DISK = "/dev/vda"


class DebianGuest(QemuGuest):
    """A whole Debian: its udev alone takes as long as the other images' boot."""

    boot_timeout = 150.0


class LockedGuest(DebianGuest):
    """A guest whose boot ends at the question for a passphrase: entering waits for that."""

    def _wait_until_up(self) -> None:
        end_s = time.monotonic() + self.boot_timeout
        while not (self.agent.ready.is_set() or PROMPT.search(self.console.text)):
            if time.monotonic() > end_s:
                self.agent.lost("it does not ask for a passphrase")
            time.sleep(0.05)
        if self.agent.ready.is_set() and not self.agent.gone:
            self.agent.lost("its root is open, and nobody typed a passphrase")

    def unlock(self, passphrase: str) -> None:
        """Type it, and wait for what runs from the encrypted root."""
        self.type(passphrase)
        assert self.agent.ready.wait(self.boot_timeout), self.console.tail()
        assert not self.agent.gone, self.console.tail()


@pytest.fixture
def machine(vault: Keystored, tmp_path: Path) -> dict[str, Any]:
    """What a guest of the vault is made of that boots from the disk: the same one each time."""
    root = encrypted_root()
    disk = Path(shutil.copy(root.disk, tmp_path / "disk"))
    vault.add_guest(NAME)
    words = ("--qemu", "{}.{}".format(*qemu_version(["qemu-system-x86_64"])), "--accel", "tcg", "--memory", "512M")
    devices = vault.facts("qemu-args", NAME, *words)
    devices += ["-drive", f"file={disk},if=none,id=disk,format=raw", "-device", "virtio-blk-pci,drive=disk"]
    return {"kernel": root.kernel, "initrd": root.initrd, "devices": devices, "append": APPEND, "memory_mib": 512}


def is_on_encrypted_root(guest: QemuGuest) -> bool:
    """Does what the guest runs come from the mapped disk?"""
    status = guest.run("cryptsetup status root").text
    return (
        "type:    LUKS2" in status and DISK in status and " / ext4" in guest.run("grep mapper/root /proc/mounts").text
    )


def other_disk(guest: QemuGuest) -> None:
    """One more disk, a file, is opened by the command and by who goes by the plugin, and nobody types."""
    quick = "--batch-mode --pbkdf pbkdf2 --pbkdf-force-iterations 1000"
    guest.run("truncate -s 20M /root/disk")
    guest.run(f"cryptsetup luksFormat {quick} /root/disk -", stdin=PASSPHRASE)
    guest.run(f"vks luks enroll /root/disk {KEY} --key-file -", stdin=PASSPHRASE)
    refused = guest.run("vks luks open /root/disk data 2>&1", check=False)
    assert (refused.status, "this kernel does not have: modprobe loop" in refused.text) == (1, True)
    guest.run("modprobe loop")
    for command, mode in {
        "vks luks open /root/disk data --readonly": "readonly",
        "cryptsetup open --token-only /root/disk data": "read/write",
        "systemd-cryptsetup attach data /root/disk none luks,headless": "read/write",
    }.items():
        guest.run(command)
        assert re.search(f"mode: +{mode}", guest.run("cryptsetup status data").text)
        guest.run("cryptsetup close data")


def test_reboot_and_revoke(vault: Keystored, machine: dict[str, Any]) -> None:
    """Enrolled from inside, it boots again and nobody types; not after a revoke, which says why; again with the grant."""
    vault.api.generate(KEY, "aes-256")
    vault.api.grant(NAME, KEY, ["data-key", "decrypt", "release"])
    with LockedGuest(**machine) as guest:
        assert "vks: luks: the header has no token of the vault" in guest.console.text
        guest.unlock(PASSPHRASE.decode())
        assert is_on_encrypted_root(guest)
        guest.run(f"vks-luks enroll {DISK} {KEY}", stdin=PASSPHRASE + b"\n")
        other_disk(guest)
        guest.run("echo kept >/root/kept && sync")

    # From here on it may open and no more.
    vault.api.revoke(NAME, KEY)
    vault.api.grant(NAME, KEY, ["decrypt"])
    with DebianGuest(**machine) as guest:
        assert is_on_encrypted_root(guest)
        assert guest.run("cat /root/kept").text == "kept"
        assert "passphrase" not in guest.console.text
        assert f"key {KEY}, version 1" in guest.run(f"vks luks list {DISK}").text
        guest.run("sync")

    vault.api.revoke(NAME, KEY)
    with LockedGuest(**machine) as guest:
        said = guest.console.text
        assert f"vks: luks: the vault refuses: key {KEY} is not granted to this guest, or not there" in said
        assert f"hint: ask the host's operator: vmm-keystore grant add {NAME} {KEY} --ops decrypt" in said
        vault.api.grant(NAME, KEY, ["decrypt"])
        guest.unlock("")
        assert guest.run("cat /root/kept").text == "kept"
